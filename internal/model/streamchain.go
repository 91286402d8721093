// SPDX-License-Identifier: Apache-2.0

package model

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// streamRule is a rule at a place, with those of its matches that can hold there:
// what is left of them is for the proxy to decide.
type streamRule struct {
	matches []ir.StreamMatch
	targets []ir.Target
	stream  ir.Stream
	tls     *ir.ChainTLS
	detect  bool // as ir.StreamChain.Detected
	origins []ir.Origin
	hosts   []string // at a gateway: those that its server and the routes have in common
}

// whatever is the match of a rule that has none.
var whatever = []ir.StreamMatch{{}}

// streamRuleAt resolves a rule at a place, as somebody sees it; ok is false when it
// cannot hold there.
func (m *Model) streamRuleAt(
	c *graph.Ctx, r *ir.StreamRule, by viewer, req request, holds func(*ir.Place) bool,
) (out streamRule, ok bool) {
	matches := r.Matches
	if len(matches) == 0 {
		matches = whatever
	}
	for i := range matches {
		if p := &matches[i].Place; holds(p) && req.fits(p) {
			out.matches = append(out.matches, matches[i])
		}
	}
	if len(out.matches) == 0 {
		return out, false
	}
	out.origins = []ir.Origin{r.Origin}
	for i, d := range r.Destinations {
		cl := ir.ClusterKey{Host: d.Host, Port: m.destinationPort(c, d, &req), Subset: d.Subset}
		out.targets = append(out.targets, ir.Target{Cluster: cl, Weight: d.Weight, Dynamic: m.dynamicPort(c, by.namespace, cl)})
		if i == 0 {
			out.stream = m.streamFor(c, by, cl)
		}
	}
	return out, true
}

// streamChains gives each kind of connection the first rule that takes it, as a
// filter chain. Proxies look for the narrowest subnet and then for the narrowest
// name, and do not turn back; so a chain for a subnet has all that holds there.
func streamChains(rules []streamRule) []ir.StreamChain {
	var out []ir.StreamChain
	for _, subnet := range append(subnetsOf(rules), netip.Prefix{}) {
		taken := map[string]bool{}
		for i := range rules {
			names, all := rules[i].namesAt(subnet, taken)
			if len(names) > 0 || all {
				out = addChain(out, &rules[i], subnet, names)
			}
			if all {
				break
			}
		}
	}
	return out
}

// addChain adds a chain, or the subnet to the chain of the same rule and names.
func addChain(out []ir.StreamChain, r *streamRule, subnet netip.Prefix, names []string) []ir.StreamChain {
	targets := r.targets
	if strays(targets, names) {
		targets = nil
	}
	chain := ir.StreamChain{ServerNames: names, TLS: r.tls, Targets: targets, Detected: r.detect, Stream: r.stream, Origins: r.origins}
	if !subnet.IsValid() {
		return append(out, chain)
	}
	for i := range out {
		if o := &out[i]; slices.Equal(o.Origins, r.origins) && o.TLS == r.tls && slices.Equal(o.ServerNames, names) && reflect.DeepEqual(o.Targets, targets) {
			o.Subnets = append(o.Subnets, subnet)
			return out
		}
	}
	chain.Subnets = []netip.Prefix{subnet}
	return append(out, chain)
}

// namesAt is the names, not taken so far, that a rule takes of connections to a
// subnet; all tells that it takes every connection, named or not. The subnet that is
// not valid is every address that no rule names.
func (r *streamRule) namesAt(subnet netip.Prefix, taken map[string]bool) (names []string, all bool) {
	for i := range r.matches {
		x := &r.matches[i]
		if len(x.Subnets) > 0 && !slices.ContainsFunc(x.Subnets, func(p netip.Prefix) bool { return inside(p, subnet) }) {
			continue
		}
		if len(x.ServerNames) == 0 {
			return nil, true
		}
		for _, n := range x.ServerNames {
			if !taken[n] {
				taken[n] = true
				names = append(names, n)
			}
		}
	}
	slices.Sort(names)
	return names, false
}

// inside tells whether a subnet is all inside another one.
func inside(outer, inner netip.Prefix) bool {
	return inner.IsValid() && outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
}

func subnetsOf(rules []streamRule) []netip.Prefix {
	var out []netip.Prefix
	for i := range rules {
		for j := range rules[i].matches {
			out = append(out, rules[i].matches[j].Subnets...)
		}
	}
	slices.SortFunc(out, ir.ComparePrefix)
	return slices.Compact(out)
}

// at leaves of a rule what holds for one address, for a listener that is of that
// address alone: such a one does not look at the address again.
func (r *streamRule) at(addr netip.Addr) (streamRule, bool) {
	out := *r
	out.matches = nil
	for _, x := range r.matches {
		if len(x.Subnets) == 0 || slices.ContainsFunc(x.Subnets, func(p netip.Prefix) bool { return p.Contains(addr) }) {
			x.Subnets = nil
			out.matches = append(out.matches, x)
		}
	}
	return out, len(out.matches) > 0
}

// covers tells whether a pattern matches everything that another one does.
func covers(pattern, name string) bool {
	if pattern == name || pattern == "*" {
		return true
	}
	tail, wild := strings.CutPrefix(pattern, "*")
	return wild && strings.HasSuffix(name, tail) && len(name) > len(tail)
}

// narrower is what two patterns have in common, if they overlap.
func narrower(a, b string) (string, bool) {
	switch {
	case covers(a, b):
		return b, true
	case covers(b, a):
		return a, true
	}
	return "", false
}
