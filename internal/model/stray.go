// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"slices"
	"strings"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// strayPort is where requests for hosts are routed that only VirtualServices name:
// they say no port, and that is the one of HTTP.
const strayPort = 80

// deriveStrays finds the hosts with rules for requests which nobody defines. A
// pattern that covers a host is no host of its own.
func (m *Model) deriveStrays(g *graph.Graph, routed *graph.Table[string, struct{}]) {
	tails := m.hostsByTail.Keys()
	m.strays = graph.Derive(g, "strays", routed, strings.Compare,
		func(c *graph.Ctx, name string, _ struct{}, emit func(string, struct{})) {
			mesh, ok := m.settings(c)
			// A Service that is not there is nobody that could be asked.
			if !ok || name == "*" || strings.HasSuffix(name, ".svc."+mesh.ClusterDomain) {
				return
			}
			if !has(c, m.hostNames, name) && !has(c, tails, name) {
				emit(name, struct{}{})
			}
		})
}

// strayHost is a host that is nothing but its rules.
func strayHost(name string, candidates [][]*ir.Routes) *ir.Host {
	out := &ir.Host{Name: name, Ports: []ir.ServicePort{{Name: "http", Port: strayPort, Protocol: ir.ProtocolHTTP}}}
	for r := range everyRoute(candidates) {
		out.Origin, out.Created = r.Origin, r.Created
		break
	}
	return out
}

// coverings is the patterns that hosts have, and the ports at which requests for them
// are routed; sorted. It is one row for the mesh, which changes when such a host comes
// or goes.
type coverings []covering

type covering struct {
	Port uint16
	Tail string // of the names that it covers
}

func (a covering) compare(b covering) int {
	return cmp.Or(cmp.Compare(a.Port, b.Port), strings.Compare(a.Tail, b.Tail))
}

func (m *Model) deriveCoverings(g *graph.Graph) {
	patterns := graph.NewIndex(g, "hosts.patterns", m.hosts, One.Compare,
		func(k scopeHost, _ *ir.Host) []One {
			if !strings.HasPrefix(k.Host, "*.") {
				return nil
			}
			return []One{{}}
		})
	stray := graph.NewIndex(g, "strays.patterns", m.strays, One.Compare,
		func(name string, _ struct{}) []One {
			if !strings.HasPrefix(name, "*.") {
				return nil
			}
			return []One{{}}
		})
	both := graph.Union(g, "patterns", One.Compare, patterns.Keys(), stray.Keys())
	m.coverings = graph.Derive(g, "coverings", both, One.Compare,
		func(c *graph.Ctx, k One, _ struct{}, emit func(One, coverings)) {
			var out coverings
			for at, h := range graph.Each(c, patterns, k) {
				for _, p := range h.Ports {
					if p.Protocol.IsHTTP() {
						out = append(out, covering{p.Port, at.Host[1:]})
					}
				}
			}
			for name := range graph.Each(c, stray, k) {
				out = append(out, covering{strayPort, name[1:]})
			}
			slices.SortFunc(out, covering.compare)
			emit(k, slices.Compact(out))
		})
}

// isCovered tells whether a pattern takes requests for one of the names where their
// host is not held. Proxies that hold what they asked for do not ask then, so that
// they must have the host from the start.
func (m *Model) isCovered(c *graph.Ctx, port uint16, names []string) bool {
	all, _ := graph.Get(c, m.coverings, One{})
	return slices.ContainsFunc(all, func(x covering) bool {
		return x.Port == port && slices.ContainsFunc(names, func(n string) bool { return strings.HasSuffix(n, x.Tail) && !strings.HasPrefix(n, "*") })
	})
}
