// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"fmt"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/meshwright/meshwright/internal/ir"
)

// mirrors projects both ways to ask for copies of requests: mirror with its
// percentage beside it, and the list mirrors. Without a percentage everything is copied.
func (v *virtualService) mirrors(at path, in *networking.HTTPRoute) []ir.Mirror {
	var out []ir.Mirror
	add := func(to ir.Destination, p ir.Percent, field string) {
		if p > 0 {
			out = append(out, ir.Mirror{To: to, Percent: p, Field: field})
		}
	}
	if in.Mirror != nil {
		percent := ir.Everything
		switch {
		case in.MirrorPercentage != nil:
			percent = v.percentage(at.field("mirrorPercentage"), in.MirrorPercentage)
		case in.MirrorPercent != nil:
			percent = v.percent(at.field("mirrorPercent"), float64(in.MirrorPercent.Value))
		}
		add(v.destination(at.field("mirror"), in.Mirror), percent, "mirror")
		if len(in.Mirrors) > 0 {
			v.notes.invalid(at.field("mirrors"), "cannot be combined with mirror")
		}
	}
	for i, m := range in.Mirrors {
		here := at.field("mirrors").index(i)
		percent := ir.Everything
		if m.GetPercentage() != nil {
			percent = v.percentage(here.field("percentage"), m.Percentage)
		}
		add(v.destination(here.field("destination"), m.GetDestination()), percent, fmt.Sprintf("mirrors[%d].destination", i))
	}
	return out
}
