// SPDX-License-Identifier: Apache-2.0

package route

import (
	"strconv"

	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshwright/meshwright/internal/ir"
)

func cors(in *ir.CORS) *corsv3.CorsPolicy {
	out := &corsv3.CorsPolicy{
		AllowMethods:                 in.Methods,
		AllowHeaders:                 in.Headers,
		ExposeHeaders:                in.Expose,
		ForwardNotMatchingPreflights: wrapperspb.Bool(!in.StopUnmatched),
	}
	for _, o := range in.Origins {
		out.AllowOriginStringMatch = append(out.AllowOriginStringMatch, text(o))
	}
	if in.HasMaxAge {
		out.MaxAge = strconv.FormatInt(in.MaxAge, 10)
	}
	if in.Credentials {
		out.AllowCredentials = wrapperspb.Bool(true)
	}
	return out
}
