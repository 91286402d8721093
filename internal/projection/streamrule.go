// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/meshwright/meshwright/internal/ir"
)

// maxSubnets bounds the subnets of one object: proxies compare every two of them.
const maxSubnets = 256

// tlsRules projects the rules for TLS that is not ended on the way. See
// https://istio.io/latest/docs/reference/config/networking/virtual-service/#TLSRoute.
func (v *virtualService) tlsRules(in []*networking.TLSRoute, hosts []string) []ir.StreamRule {
	var out []ir.StreamRule
	claimed := map[string]int{} // names that a rule takes wherever it is
	for i, r := range in {
		if r == nil {
			continue
		}
		at := spec.field("tls").index(i)
		rule := v.streamRule("tls", i, at, r.Route)
		if len(r.Match) == 0 {
			v.notes.invalid(at.field("match"), "must have at least one match with sniHosts")
			continue
		}
		for j, m := range r.Match {
			here := at.field("match").index(j)
			if m == nil {
				v.notes.invalid(here.field("sniHosts"), "must have at least one host")
				continue
			}
			before := v.notes.errors()
			match := ir.StreamMatch{
				ServerNames: v.serverNames(here.field("sniHosts"), m.SniHosts, hosts),
				Subnets:     v.prefixes(here.field("destinationSubnets"), m.DestinationSubnets),
				Place:       v.place(here, m),
			}
			if v.notes.errors() > before || v.leftOut("tls", i, j) {
				continue
			}
			v.namesLeft(here.field("sniHosts"), i, &match, claimed)
			rule.Matches = append(rule.Matches, match)
		}
		if len(rule.Matches) > 0 {
			out = append(out, rule)
		}
	}
	return out
}

// tcpRules projects the rules for all other bytes. See
// https://istio.io/latest/docs/reference/config/networking/virtual-service/#TCPRoute.
func (v *virtualService) tcpRules(in []*networking.TCPRoute) []ir.StreamRule {
	var out []ir.StreamRule
	catchAll := -1
	for i, r := range in {
		if r == nil {
			continue
		}
		at := spec.field("tcp").index(i)
		if catchAll >= 0 {
			v.notes.warn(ReasonUnreachable, at,
				"never has an effect, as tcp[%d] takes every connection; put that one last", catchAll)
		}
		rule := v.streamRule("tcp", i, at, r.Route)
		all := len(r.Match) == 0
		for j, m := range r.Match {
			if m == nil {
				m = &networking.L4MatchAttributes{}
			}
			here := at.field("match").index(j)
			before := v.notes.errors()
			match := ir.StreamMatch{
				Subnets: v.prefixes(here.field("destinationSubnets"), m.DestinationSubnets),
				Place:   v.place(here, m),
			}
			if v.notes.errors() == before && !v.leftOut("tcp", i, j) {
				rule.Matches = append(rule.Matches, match)
				all = all || len(match.Subnets) == 0 && anywhere(&match.Place)
			}
		}
		if len(r.Match) == 0 || len(rule.Matches) > 0 {
			out = append(out, rule)
		}
		if all && catchAll < 0 {
			catchAll = i
		}
	}
	return out
}

// anywhere tells whether a place is every proxy and port that an object holds for.
func anywhere(p *ir.Place) bool {
	return p.Port == 0 && p.Namespace == "" && len(p.Labels) == 0 && !p.GatewaysSet
}

// streamRule projects what both kinds of rules share. A rule whose destinations are
// wrong closes its connections: passing them on elsewhere would be worse.
func (v *virtualService) streamRule(list string, i int, at path, routes []*networking.RouteDestination) ir.StreamRule {
	out := ir.StreamRule{Origin: v.notes.origin}
	out.Origin.Section = fmt.Sprintf("%s[%d]", list, i)
	if len(routes) == 0 {
		v.notes.invalid(at.field("route"), "must have at least one destination")
		return out
	}
	before := v.notes.errors()
	destinations := weighted(v, at.field("route"), routes, nil)
	if v.notes.errors() == before {
		out.Destinations = destinations
	}
	return out
}

// serverNames projects the names that clients ask for. They must be the object's own.
func (v *virtualService) serverNames(at path, in, hosts []string) []string {
	if len(in) == 0 {
		v.notes.invalid(at, "must have at least one host")
	}
	var out []string
	for i, name := range in {
		name = strings.ToLower(name)
		if err := checkHost(name); err != nil {
			v.notes.invalid(at.index(i), "host %v", err)
			continue
		}
		within := func(host string) bool {
			host = strings.ToLower(host)
			return covers(host, name) || covers(v.scope.resolve(host, v.meta.Namespace), name)
		}
		if !slices.ContainsFunc(hosts, within) {
			v.notes.invalid(at.index(i), "%s is within none of spec.hosts; add it there or correct the name", name)
			continue
		}
		out = append(out, name)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// covers tells whether a pattern matches everything that another one does.
func covers(pattern, name string) bool {
	if pattern == name || pattern == "*" {
		return true
	}
	tail, wild := strings.CutPrefix(pattern, "*")
	return wild && strings.HasSuffix(name, tail) && len(name) > len(tail)
}

// namesLeft warns of names that an earlier rule takes wherever it is.
func (v *virtualService) namesLeft(at path, rule int, m *ir.StreamMatch, claimed map[string]int) {
	for _, name := range m.ServerNames {
		if first, taken := claimed[name]; taken && first != rule {
			v.notes.warn(ReasonUnreachable, at, "%s never comes here, as tls[%d] takes it", name, first)
		} else if !taken && len(m.Subnets) == 0 && anywhere(&m.Place) {
			claimed[name] = rule
		}
	}
}

// prefixes projects ADDRESS and ADDRESS/BITS.
func (v *virtualService) prefixes(at path, in []string) []netip.Prefix {
	var out []netip.Prefix
	for i, text := range in {
		p, err := netip.ParsePrefix(text)
		if addr, e := netip.ParseAddr(text); e == nil && addr.Zone() == "" {
			p, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil || p.Addr().Is4In6() {
			v.notes.invalid(at.index(i), "%q must be an address or ADDRESS/BITS", text)
			continue
		}
		p = p.Masked()
		if p.Bits() > 0 {
			out = append(out, p)
			continue
		}
		// Proxies take a whole family for no subnet at all; its halves they do not.
		half := netip.PrefixFrom(p.Addr(), 1)
		out = append(out, half, netip.PrefixFrom(upperHalf(p.Addr()), 1))
	}
	if v.subnets += len(out); v.subnets > maxSubnets {
		v.notes.invalid(at, "the object has more than %d subnets", maxSubnets)
	}
	slices.SortFunc(out, comparePrefixes)
	return slices.Compact(out)
}

func upperHalf(zero netip.Addr) netip.Addr {
	bytes := zero.AsSlice()
	bytes[0] = 0x80
	out, _ := netip.AddrFromSlice(bytes)
	return out
}

func comparePrefixes(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}
