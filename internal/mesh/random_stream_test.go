// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"fmt"
	"net/netip"

	"github.com/meshwright/meshwright/internal/ir"
)

// narrow makes a match depend on who calls, now and then.
func (x *chaos) narrow(p *ir.Place) {
	switch x.r.IntN(4) {
	case 0:
		p.Labels = x.labels()
	case 1:
		p.Namespace = pick(x.r, chaosNamespaces...)
	}
}

func (x *chaos) streamRules(of *ir.Routes, list string) []ir.StreamRule {
	var out []ir.StreamRule
	for i := range x.r.IntN(3) {
		rule := ir.StreamRule{Origin: of.Origin}
		rule.Origin.Section = fmt.Sprintf("%s[%d]", list, i)
		for range 1 + x.r.IntN(2) {
			match := ir.StreamMatch{Place: ir.Place{Port: pick[uint16](x.r, 0, 8080, 9000)}}
			x.narrow(&match.Place)
			if list == "tls" {
				match.ServerNames = pick(x.r, []string{"*"}, []string{"*.example.com"}, []string{"*.com", "shop.example.com"})
			}
			if x.r.IntN(3) == 0 {
				match.Subnets = []netip.Prefix{pick(x.r, netip.MustParsePrefix("10.97.0.0/16"), netip.MustParsePrefix("10.0.0.0/8"))}
			}
			rule.Matches = append(rule.Matches, match)
		}
		for range x.r.IntN(3) {
			rule.Destinations = append(rule.Destinations, ir.Destination{
				Host: x.host(), Port: pick(x.r, uint16(0), 8080), Subset: pick(x.r, "", "v1"), Weight: 1 + x.r.Uint32N(99),
			})
		}
		out = append(out, rule)
	}
	return out
}
