// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"slices"
	"strings"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// policyHost is one host that one policy may shape.
type policyHost struct {
	Policy ir.ConfigKey
	Host   string
}

func (k policyHost) Compare(o policyHost) int {
	return cmp.Or(k.Policy.Compare(o.Policy), strings.Compare(k.Host, o.Host))
}

// policyRef is what decides between policies; it does not change with their settings.
type policyRef struct {
	Origin   ir.Origin
	Created  int64
	Pattern  string
	ExportTo ir.Visibility
}

// scopeHost is a host as the clients of a namespace see it; the scope "" is
// everybody whose namespace has no view of its own.
type scopeHost struct {
	Scope string
	Host  string
}

func (k scopeHost) Compare(o scopeHost) int {
	return cmp.Or(strings.Compare(k.Scope, o.Scope), strings.Compare(k.Host, o.Host))
}

// choice is the policy that holds for a host in a scope, if one does.
type choice struct {
	Has    bool
	Policy ir.ConfigKey
}

func (m *Model) derivePolicies(g *graph.Graph) {
	refs := graph.Derive(g, "policyHosts", m.Policies.Table(), policyHost.Compare, m.policyHosts)
	byHost := graph.NewIndex(g, "policyHosts.byHost", refs, strings.Compare,
		func(k policyHost, _ *policyRef) []string { return []string{k.Host} })
	m.choices = graph.Derive(g, "choices", m.hostNames, scopeHost.Compare,
		func(c *graph.Ctx, name string, _ struct{}, emit func(scopeHost, choice)) {
			mesh, ok := m.settings(c)
			if !ok {
				return
			}
			var candidates []*policyRef
			for _, r := range graph.Each(c, byHost, name) {
				candidates = append(candidates, r)
			}
			choose(c, name, m.scopesOf(c, name), mesh.RootNamespace, candidates, emit)
		})
	m.Targets = graph.Derive(g, "targets", m.choices, TargetKey.Compare, m.targets)
	m.scopes = graph.NewIndex(g, "choices.byHost", m.choices, strings.Compare,
		func(k scopeHost, _ choice) []string { return []string{k.Host} })
	m.hashes = graph.Derive(g, "hashes", m.Targets, TargetKey.Compare, m.hash)
	m.hashed = graph.NewIndex(g, "hashes.byHost", m.hashes, strings.Compare,
		func(k TargetKey, _ ir.LoadBalancer) []string { return []string{k.Cluster.Host} }).Keys()
}

// policyHosts is the hosts of a policy: its own name, or the known hosts that a
// wildcard covers.
func (m *Model) policyHosts(c *graph.Ctx, k ir.ConfigKey, p *ir.TrafficPolicy, emit func(policyHost, *policyRef)) {
	ref := &policyRef{Origin: p.Origin, Created: p.Created, Pattern: p.Host, ExportTo: p.ExportTo}
	if !strings.HasPrefix(p.Host, "*") {
		emit(policyHost{k, p.Host}, ref)
		return
	}
	for host := range graph.Each(c, m.hostsByTail, p.Host) {
		emit(policyHost{k, host}, ref)
	}
}

// choose decides which policy holds for a host: for everybody, and for each
// namespace that sees the host or the policies otherwise. A client's own namespace
// comes first, then the host's, then the root namespace; within one the most
// specific pattern, then the oldest.
func choose(
	c *graph.Ctx, name string, scopes hostScopes, root string, candidates []*policyRef, emit func(scopeHost, choice),
) {
	best := func(namespace, client string) *policyRef {
		var out *policyRef
		for _, r := range candidates {
			visible := r.ExportTo.All || client != "" && r.ExportTo.Sees(client)
			if r.Origin.Namespace == namespace && visible && (out == nil || prefer(r, out) < 0) {
				out = r
			}
		}
		return out
	}
	var everybody *policyRef
	if scopes.all != nil {
		everybody = cmp.Or(best(scopes.all.Namespace, ""), best(root, ""))
		emit(scopeHost{"", name}, chosen(everybody))
	}
	for _, client := range clients(candidates, scopes) {
		h := scopes.in(client)
		if h == nil {
			continue
		}
		own := cmp.Or(best(client, client), best(h.Namespace, client), best(root, client))
		if own != everybody || h != scopes.all {
			emit(scopeHost{client, name}, chosen(own))
		}
	}
	for i, a := range candidates {
		for _, b := range candidates[i+1:] {
			if a.Origin.Namespace == b.Origin.Namespace && a.Pattern == b.Pattern && compete(a.ExportTo, b.ExportTo) {
				reportOlder(c, a, b)
			}
		}
	}
}

// compete tells whether some namespace sees both.
func compete(a, b ir.Visibility) bool {
	switch {
	case a.All:
		return b.All || len(b.Namespaces) > 0
	case b.All:
		return len(a.Namespaces) > 0
	}
	return slices.ContainsFunc(a.Namespaces, b.Sees)
}

func reportOlder(c *graph.Ctx, a, b *policyRef) {
	winner, loser := a, b
	if prefer(b, a) < 0 {
		winner, loser = b, a
	}
	c.Report(conflict(loser.Origin, winner.Origin, "another DestinationRule for the host "+loser.Pattern))
}

func chosen(r *policyRef) choice {
	if r == nil {
		return choice{}
	}
	return choice{Has: true, Policy: r.Origin.Key()}
}

// prefer is negative when a comes before b.
func prefer(a, b *policyRef) int {
	exact := func(r *policyRef) int {
		if strings.HasPrefix(r.Pattern, "*") {
			return 1
		}
		return 0
	}
	return cmp.Or(
		cmp.Compare(exact(a), exact(b)),
		cmp.Compare(len(b.Pattern), len(a.Pattern)),
		ir.Precedence(a.Created, a.Origin, b.Created, b.Origin),
	)
}

// clients is the namespaces whose view of a host may differ from everybody's.
func clients(candidates []*policyRef, scopes hostScopes) []string {
	out := scopes.namespaces()
	for _, r := range candidates {
		out = append(out, r.Origin.Namespace)
		if !r.ExportTo.All {
			out = append(out, r.ExportTo.Namespaces...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// choiceFor is the choice as a namespace sees it.
func (m *Model) choiceFor(c *graph.Ctx, namespace, host string) choice {
	if own, ok := graph.Get(c, m.choices, scopeHost{namespace, host}); ok {
		return own
	}
	all, _ := graph.Get(c, m.choices, scopeHost{"", host})
	return all
}
