// SPDX-License-Identifier: Apache-2.0

package route

import (
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/meshwright/meshwright/internal/envoy/typed"
	"github.com/meshwright/meshwright/internal/ir"
)

// filters is what the filters of the listener do for one rule; the listeners
// themselves stay as they are whatever rules come and go.
func filters(in *ir.ResolvedRule) map[string]*anypb.Any {
	out := map[string]*anypb.Any{}
	if in.CORS != nil {
		out[typed.FilterCORS] = typed.Config(cors(in.CORS))
	}
	if in.Fault != nil {
		out[typed.FilterFault] = typed.Config(fault(in.Fault))
	}
	if in.Session != nil {
		out[typed.FilterSession] = typed.Config(session(in.Session))
	}
	if len(out) == 0 {
		return nil
	}
	return out
}
