// SPDX-License-Identifier: Apache-2.0

package model

import (
	"slices"
	"strings"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// peerAuth is all PeerAuthentications of a namespace, oldest first. It is the
// summary through which endpoints and listeners read policies.
type peerAuth struct {
	Whole     *ir.PeerAuthentication   // without a selector; the oldest wins
	Workloads []*ir.PeerAuthentication // one per selector; the oldest wins
}

func (m *Model) derivePeerAuth(g *graph.Graph) {
	byNamespace := graph.NewIndex(g, "peerAuthentications.byNamespace", m.PeerAuths.Table(), strings.Compare,
		func(k ir.ConfigKey, _ *ir.PeerAuthentication) []string { return []string{k.Namespace} })
	m.peerAuth = graph.Derive(g, "peerAuth", byNamespace.Keys(), strings.Compare,
		func(c *graph.Ctx, namespace string, _ struct{}, emit func(string, *peerAuth)) {
			var all []*ir.PeerAuthentication
			for _, p := range graph.Each(c, byNamespace, namespace) {
				all = append(all, p)
			}
			out := &peerAuth{}
			out.Whole, out.Workloads = oldest(c, all, func(p *ir.PeerAuthentication) claim {
				return claim{"PeerAuthentication", p.Origin, p.Created, p.Selector}
			})
			emit(namespace, out)
		})
}

// deriveDisabling marks the namespaces in which some policy turns mutual TLS
// off. Endpoints read the policies only there, so that all other edits of
// policies leave them asleep.
func (m *Model) deriveDisabling(g *graph.Graph) {
	m.disabling = graph.Derive(g, "peerAuthDisabling", m.peerAuth, strings.Compare,
		func(_ *graph.Ctx, namespace string, p *peerAuth, emit func(string, struct{})) {
			if p.Whole != nil && disables(p.Whole) || slices.ContainsFunc(p.Workloads, disables) {
				emit(namespace, struct{}{})
			}
		})
}

func disables(p *ir.PeerAuthentication) bool {
	return p.Mode == ir.MTLSDisable || slices.ContainsFunc(p.Ports, func(x ir.PortMTLS) bool { return x.Mode == ir.MTLSDisable })
}

// mayDisable tells whether a policy can turn mutual TLS off in a namespace.
func (m *Model) mayDisable(c *graph.Ctx, root, namespace string) bool {
	_, own := graph.Get(c, m.disabling, namespace)
	_, mesh := graph.Get(c, m.disabling, root)
	return own || mesh
}

func conflict(loser, winner ir.Origin, what string) ir.Problem {
	return ir.Problem{
		Origin:    loser,
		Condition: ir.Conflicted,
		Reason:    "Older",
		Message: what + " is older and wins: " + winner.Object().String() +
			"; remove one of the two or merge them",
	}
}

// accepted is which connections a workload takes.
type accepted struct {
	Default ir.MTLSMode
	Ports   []ir.PortMTLS
	Origins []ir.Origin
}

func (a *accepted) mode(port uint16) ir.MTLSMode {
	for _, p := range a.Ports {
		if p.Port == port && p.Mode != ir.MTLSUnset {
			return p.Mode
		}
	}
	return a.Default
}

// accepts resolves the policies for a workload: its own, its namespace's, the
// mesh's; permissive where none says anything.
func (m *Model) accepts(c *graph.Ctx, root, namespace string, labels ir.Labels) accepted {
	out := accepted{}
	take := func(p *ir.PeerAuthentication) {
		if out.Default == ir.MTLSUnset && p.Mode != ir.MTLSUnset {
			out.Default = p.Mode
			out.Origins = append(out.Origins, p.Origin)
		}
	}
	if own, ok := graph.Get(c, m.peerAuth, namespace); ok {
		for _, p := range own.Workloads {
			if labels.Contains(p.Selector) {
				out.Ports = p.Ports
				if len(p.Ports) > 0 && p.Mode == ir.MTLSUnset {
					out.Origins = append(out.Origins, p.Origin)
				}
				take(p)
				break
			}
		}
		if own.Whole != nil {
			take(own.Whole)
		}
	}
	if mesh, ok := graph.Get(c, m.peerAuth, root); ok && namespace != root && mesh.Whole != nil {
		take(mesh.Whole)
	}
	if out.Default == ir.MTLSUnset {
		out.Default = ir.MTLSPermissive
	}
	slices.SortFunc(out.Origins, ir.Origin.Compare)
	return out
}
