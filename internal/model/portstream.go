// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"net/netip"
	"reflect"
	"slices"
	"strconv"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// A host of a ServiceEntry whose bytes come to no address of its own has part of a
// port instead, whatever the address: the connections to its ranges of addresses,
// those that ask for its name in TLS, or, when it has neither, all that is left.

// portStreamKey is what a host makes of a port, as somebody sees it.
type portStreamKey struct {
	Viewer viewer
	Port   uint16
	Host   string
}

func (k portStreamKey) Compare(o portStreamKey) int {
	return cmp.Or(k.Viewer.compare(o.Viewer), cmp.Compare(k.Port, o.Port), cmp.Compare(k.Host, o.Host))
}

// viewedPort is a port as somebody sees it.
type viewedPort struct {
	Viewer viewer
	Port   uint16
}

func (k viewedPort) compare(o viewedPort) int {
	return cmp.Or(k.Viewer.compare(o.Viewer), cmp.Compare(k.Port, o.Port))
}

// portStream is the rules of a host for a port; none where a view takes away what
// others have.
type portStream struct {
	host  *ir.Host
	width width
	rules []streamRule
}

// width is how much of a port a host takes. What takes less is asked first.
type width uint8

const (
	ofRanges width = iota
	ofNames
	ofAll
)

// part is what a host takes of a port; ok is false when it takes nothing.
func part(h *ir.Host, p ir.ServicePort) (w width, ok bool) {
	switch {
	case h.Origin.Kind == kindService || h.Headless || p.Protocol.IsHTTP():
		return 0, false
	case len(h.Ranges) > 0:
		return ofRanges, true
	case p.Protocol.IsTLS():
		// Only those whose questions the mesh answers call an address of the mesh.
		return ofNames, h.Allocated || len(h.VIPs) == 0
	}
	return ofAll, len(h.VIPs) == 0
}

// takesParts tells whether a host takes part of some port.
func takesParts(h *ir.Host) bool {
	return slices.ContainsFunc(h.Ports, func(p ir.ServicePort) bool { _, ok := part(h, p); return ok })
}

// hostPortStreams is what a host makes of ports: for everybody, and for each namespace or
// class that sees it otherwise.
func (m *Model) hostPortStreams(
	c *graph.Ctx, name string, scopes hostScopes, book *rulebook, emit func(portStreamKey, *portStream),
) {
	at := func(by viewer) map[uint16]*portStream {
		out := map[uint16]*portStream{}
		h := scopes.in(by.namespace)
		if h == nil {
			return out
		}
		for _, p := range h.Ports {
			if w, ok := part(h, p); ok {
				rules := m.streamRules(c, h, p, book.seenBy(c, m, by, p.Port), by)
				out[p.Port] = &portStream{host: named(h), width: w, rules: narrowed(h, p, rules)}
			}
		}
		return out
	}
	for _, by := range m.streamViews(c, name, scopes, book.all) {
		own := at(by)
		if by != (viewer{}) {
			for port, hidden := range at(m.below(c, by)) {
				switch mine, ok := own[port]; {
				case !ok:
					own[port] = &portStream{host: hidden.host}
				case reflect.DeepEqual(mine, hidden):
					delete(own, port)
				}
			}
		}
		for port, s := range own {
			emit(portStreamKey{by, port, name}, s)
		}
	}
}

// named is what is needed of a host to tell whose right is better.
func named(h *ir.Host) *ir.Host {
	return &ir.Host{Name: h.Name, Namespace: h.Namespace, Origin: h.Origin, Created: h.Created}
}

// narrowed is the rules of a host for what the host takes of a port.
func narrowed(h *ir.Host, p ir.ServicePort, rules []streamRule) []streamRule {
	out := make([]streamRule, 0, len(rules))
	for _, r := range rules {
		if r.origins == nil {
			r.origins = []ir.Origin{h.Origin}
		}
		matches := r.matches
		r.matches = nil
		for _, x := range matches {
			if len(x.ServerNames) == 0 && p.Protocol.IsTLS() {
				x.ServerNames = []string{h.Name}
			}
			if len(h.Ranges) > 0 {
				if x.Subnets = intersect(h.Ranges, x.Subnets); len(x.Subnets) == 0 {
					continue
				}
			}
			r.matches = append(r.matches, x)
		}
		if len(r.matches) > 0 {
			out = append(out, r)
		}
	}
	return out
}

// intersect is the addresses that are in both lists; no second list is all addresses.
func intersect(a, b []netip.Prefix) []netip.Prefix {
	if len(b) == 0 {
		return a
	}
	var out []netip.Prefix
	for _, x := range a {
		for _, y := range b {
			switch {
			case inside(x, y):
				out = append(out, y)
			case inside(y, x):
				out = append(out, x)
			}
		}
	}
	slices.SortFunc(out, ir.ComparePrefix)
	return slices.Compact(out)
}

// portChains is the chains of a port, as somebody sees it.
func (m *Model) portChains(c *graph.Ctx, by viewer, port uint16) []ir.StreamChain {
	rows := map[string]*portStream{}
	for _, v := range m.lineage(c, by) {
		for k, s := range graph.Each(c, m.portStreams, viewedPort{v, port}) {
			rows[k.Host] = s
		}
	}
	all := make([]*portStream, 0, len(rows))
	for _, s := range rows {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *portStream) int {
		return cmp.Or(cmp.Compare(a.width, b.width), before(a.host, b.host))
	})
	var rules []streamRule
	takers := map[string]*ir.Host{}
	for _, s := range all {
		rules = append(rules, s.rules...)
		for _, at := range s.claims(port) {
			if winner := takers[at]; winner != nil && winner.Origin != s.host.Origin {
				c.Report(lostPart(s.host, winner, at))
				continue
			}
			takers[at] = s.host
		}
	}
	return streamChains(rules)
}

// claims is what a host takes of a port apart from names, which no two hosts have in
// common.
func (s *portStream) claims(port uint16) []string {
	number := strconv.Itoa(int(port))
	if s.width == ofNames || len(s.rules) == 0 {
		return nil
	}
	if s.width == ofAll {
		return []string{"port " + number}
	}
	var out []string
	for _, x := range s.rules[len(s.rules)-1].matches {
		if len(x.ServerNames) > 0 {
			return nil
		}
		for _, p := range x.Subnets {
			out = append(out, p.String()+" port "+number)
		}
	}
	return out
}

// lostPart is the problem of a host that takes what another one takes as well.
func lostPart(loser, winner *ir.Host, at string) ir.Problem {
	return ir.Problem{
		Origin: loser.Origin, Condition: ir.Conflicted, Reason: "AddressTaken",
		Message: "connections to " + at + " go to " + winner.Name + " of " + winner.Origin.String() +
			", not to " + loser.Name + "; give each addresses of its own",
	}
}
