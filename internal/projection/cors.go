// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"strings"
	"time"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/meshwright/meshwright/internal/ir"
)

func (v *virtualService) cors(at path, in *networking.CorsPolicy) *ir.CORS {
	out := &ir.CORS{
		Methods: v.tokens(at.field("allowMethods"), in.AllowMethods),
		Headers: v.tokens(at.field("allowHeaders"), in.AllowHeaders),
		Expose:  v.tokens(at.field("exposeHeaders"), in.ExposeHeaders),

		Credentials:   in.GetAllowCredentials().GetValue(),
		StopUnmatched: in.UnmatchedPreflights == networking.CorsPolicy_IGNORE,
	}
	for i, o := range in.AllowOrigins {
		here := at.field("allowOrigins").index(i)
		m := v.text(here, o)
		if m.Kind == ir.MatchPresent {
			v.notes.invalid(here, `needs exact, prefix or regex; exact "*" allows every origin`)
		}
		out.Origins = append(out.Origins, m)
	}
	for _, o := range in.AllowOrigin {
		out.Origins = append(out.Origins, ir.StringMatch{Kind: ir.MatchExact, Value: o})
	}
	if in.MaxAge != nil {
		d := in.MaxAge.AsDuration()
		if err := in.MaxAge.CheckValid(); err != nil || d < 0 || d%time.Second != 0 {
			v.notes.invalid(at.field("maxAge"), "%v must be whole seconds, at least 0", d)
		}
		out.MaxAge, out.HasMaxAge = int64(d/time.Second), true
	}
	return out
}

// tokens joins names of methods or headers; "*" stands for all.
func (v *virtualService) tokens(at path, in []string) string {
	for i, s := range in {
		if s == "*" {
			continue
		}
		if err := checkHeader(s); err != nil {
			v.notes.invalid(at.index(i), "%q must consist of letters, digits, dashes and underscores", s)
		}
	}
	return strings.Join(in, ",")
}
