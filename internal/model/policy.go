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
	Selector ir.Labels
	ExportTo ir.Visibility
	Shapes   bool     // it has settings for the host as a whole
	Subsets  []string // names, sorted
}

// choice is the policies that hold together for a host as somebody sees it, the one
// that decides first.
type choice struct{ Policies []ir.ConfigKey }

func (m *Model) derivePolicies(g *graph.Graph) {
	refs := graph.Derive(g, "policyHosts", m.Policies.Table(), policyHost.Compare, m.policyHosts)
	byHost := graph.NewIndex(g, "policyHosts.byHost", refs, strings.Compare,
		func(k policyHost, _ *policyRef) []string { return []string{k.Host} })
	m.choices = graph.Derive(g, "choices", m.hostNames, seenHost.Compare,
		func(c *graph.Ctx, name string, _ struct{}, emit func(seenHost, choice)) {
			mesh, ok := m.settings(c)
			if !ok {
				return
			}
			var all candidates
			for _, r := range graph.Each(c, byHost, name) {
				all = append(all, r)
			}
			slices.SortFunc(all, prefer)
			m.choose(c, name, m.scopesOf(c, name), mesh.RootNamespace, all, emit)
		})
	m.scopes = graph.NewIndex(g, "choices.byHost", m.choices, strings.Compare,
		func(k seenHost, _ choice) []string { return []string{k.Host} })
	m.deriveSubsets(g)
	m.Targets = graph.Derive(g, "targets", m.choices, TargetKey.Compare, m.targets)
	m.deriveNearness(g)
	m.hashes = graph.Derive(g, "hashes", m.Targets, TargetKey.Compare, m.hash)
	m.hashed = graph.NewIndex(g, "hashes.byHost", m.hashes, strings.Compare,
		func(k TargetKey, _ ir.LoadBalancer) []string { return []string{k.Cluster.Host} }).Keys()
}

// policyHosts is the hosts of a policy: its own name, or the known hosts that a
// wildcard covers.
func (m *Model) policyHosts(c *graph.Ctx, k ir.ConfigKey, p *ir.TrafficPolicy, emit func(policyHost, *policyRef)) {
	ref := &policyRef{
		Origin: p.Origin, Created: p.Created, Pattern: p.Host, Selector: p.Selector, ExportTo: p.ExportTo, Shapes: p.Shapes(),
	}
	for i := range p.Subsets {
		ref.Subsets = append(ref.Subsets, p.Subsets[i].Name)
	}
	if !strings.HasPrefix(p.Host, "*") {
		emit(policyHost{k, p.Host}, ref)
		return
	}
	for host := range graph.Each(c, m.hostsByTail, p.Host) {
		emit(policyHost{k, host}, ref)
	}
}

// choose decides which policies hold for a host: for everybody, for each namespace
// that sees it otherwise, and for each class that a policy selects. A policy that
// selects a client comes first; then those of the client's own namespace, then the
// host's, then the root namespace; within one the most specific pattern. Policies
// of one namespace and pattern hold together, the oldest deciding.
func (m *Model) choose(
	c *graph.Ctx, name string, scopes hostScopes, root string, all candidates, emit func(seenHost, choice),
) {
	var everybody candidates
	if h := scopes.all; h != nil {
		everybody = all.first([]string{h.Namespace, root}, func(r *policyRef) bool { return r.ExportTo.All })
		emit(seenHost{viewer{}, name}, everybody.choice())
	}
	for _, client := range all.clients(scopes) {
		h := scopes.in(client)
		if h == nil {
			continue
		}
		own := all.first([]string{client, h.Namespace, root}, func(r *policyRef) bool { return r.ExportTo.Sees(client) })
		if !slices.Equal(own, everybody) || h != scopes.all {
			emit(seenHost{viewer{namespace: client}, name}, own.choice())
		}
	}
	for _, namespace := range all.selecting() {
		for key, class := range graph.Each(c, m.classesOf, namespace) {
			own := all.selected(c, class)
			if len(own) > 0 && scopes.in(namespace) != nil {
				emit(seenHost{viewer{namespace: namespace, class: key}, name}, own.choice())
			}
		}
	}
	for i, a := range all {
		for _, b := range all[i+1:] {
			if a.joins(b) && compete(a.ExportTo, b.ExportTo) {
				reportOlder(c, a, b)
			}
		}
	}
}

// candidates is the policies for one host, in the order of preference.
type candidates []*policyRef

// first is the policies that hold together in the first of the namespaces that has
// some for clients that no policy selects.
func (all candidates) first(namespaces []string, sees func(*policyRef) bool) candidates {
	for _, namespace := range namespaces {
		out := all.together(func(r *policyRef) bool {
			return len(r.Selector) == 0 && r.Origin.Namespace == namespace && sees(r)
		})
		if len(out) > 0 {
			return out
		}
	}
	return nil
}

// selected is the policies that hold together for a class that they select.
func (all candidates) selected(c *graph.Ctx, class *ir.Class) candidates {
	fits := func(r *policyRef) bool {
		return len(r.Selector) > 0 && r.Origin.Namespace == class.Namespace && class.Labels.Contains(r.Selector)
	}
	out := all.together(fits)
	for _, r := range all {
		if len(out) > 0 && fits(r) && r.Pattern == out[0].Pattern && !r.joins(out[0]) {
			c.Report(conflict(r.Origin, out[0].Origin, "another DestinationRule that selects the workload "+class.Workload))
		}
	}
	return out
}

// together is the first that fits, with those that join it and add something.
func (all candidates) together(fits func(*policyRef) bool) candidates {
	var out candidates
	shaped, subsets := false, map[string]bool{}
	for _, r := range all {
		if !fits(r) || len(out) > 0 && !r.joins(out[0]) {
			continue
		}
		adds := len(out) == 0 || r.Shapes && !shaped
		for _, name := range r.Subsets {
			adds = adds || !subsets[name]
			subsets[name] = true
		}
		if adds {
			out = append(out, r)
			shaped = shaped || r.Shapes
		}
	}
	return out
}

// clients is the namespaces whose view of a host may differ from everybody's.
func (all candidates) clients(scopes hostScopes) []string {
	out := scopes.namespaces()
	for _, r := range all {
		if len(r.Selector) > 0 {
			continue
		}
		out = append(out, r.Origin.Namespace)
		if !r.ExportTo.All {
			out = append(out, r.ExportTo.Namespaces...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// selecting is the namespaces of the policies that are for some workloads only.
func (all candidates) selecting() []string {
	var out []string
	for _, r := range all {
		if len(r.Selector) > 0 {
			out = append(out, r.Origin.Namespace)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (all candidates) choice() choice {
	var out choice
	for _, r := range all {
		out.Policies = append(out.Policies, r.Origin.Key())
	}
	return out
}

// joins tells whether two policies hold together where a client sees both.
func (r *policyRef) joins(o *policyRef) bool {
	return r.Origin.Namespace == o.Origin.Namespace && r.Pattern == o.Pattern && slices.Equal(r.Selector, o.Selector)
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

// reportOlder tells the younger of two policies that hold together what of it the
// other one hides.
func reportOlder(c *graph.Ctx, older, younger *policyRef) {
	if older.Shapes && younger.Shapes {
		c.Report(conflict(younger.Origin, older.Origin, "another DestinationRule with a trafficPolicy for the host "+older.Pattern))
	}
	for _, name := range younger.Subsets {
		if _, both := slices.BinarySearch(older.Subsets, name); both {
			c.Report(conflict(younger.Origin, older.Origin, "another DestinationRule with the subset "+name+" of the host "+older.Pattern))
		}
	}
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

// policyOf is what the policies of a choice make together; nil when there are none.
func (m *Model) policyOf(c *graph.Ctx, ch choice) *ir.TrafficPolicy {
	return ir.Merged(m.policies(c, ch))
}

func (m *Model) policies(c *graph.Ctx, ch choice) []*ir.TrafficPolicy {
	var out []*ir.TrafficPolicy
	for _, key := range ch.Policies {
		if p, ok := graph.Get(c, m.Policies.Table(), key); ok {
			out = append(out, p)
		}
	}
	return out
}
