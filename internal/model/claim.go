// SPDX-License-Identifier: Apache-2.0

package model

import (
	"slices"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// claim is an object that holds for the workloads that it selects, or without a selector for its namespace.
type claim struct {
	kind     string
	origin   ir.Origin
	created  int64
	selector ir.Labels
}

// oldest parts the objects of one kind and namespace into the one without a selector and one for each selector, oldest
// first. Objects that lose to an older one are told so.
func oldest[P any](c *graph.Ctx, all []P, about func(P) claim) (whole P, workloads []P) {
	slices.SortFunc(all, func(a, b P) int {
		x, y := about(a), about(b)
		return ir.Precedence(x.created, x.origin, y.created, y.origin)
	})
	hasWhole := false
	for _, p := range all {
		this := about(p)
		switch {
		case len(this.selector) > 0:
			older := slices.IndexFunc(workloads, func(o P) bool { return slices.Equal(about(o).selector, this.selector) })
			if older >= 0 {
				c.Report(conflict(this.origin, about(workloads[older]).origin, "another "+this.kind+" with the same selector"))
				continue
			}
			workloads = append(workloads, p)
		case !hasWhole:
			whole, hasWhole = p, true
		default:
			c.Report(conflict(this.origin, about(whole).origin, "another "+this.kind+" without a selector"))
		}
	}
	return whole, workloads
}
