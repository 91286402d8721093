// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"slices"
	"strings"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// sidecarRules is all Sidecars of a namespace.
type sidecarRules struct {
	Whole     *ir.Sidecar   // without a selector; the oldest wins
	Workloads []*ir.Sidecar // one per selector, oldest first
}

// sidecarUse is one Sidecar as the sidecars of a namespace read it: what comes of it is
// there once for all of its workloads.
type sidecarUse struct {
	Namespace string
	Sidecar   ir.ConfigKey
}

func (k sidecarUse) Compare(o sidecarUse) int {
	return cmp.Or(strings.Compare(k.Namespace, o.Namespace), k.Sidecar.Compare(o.Sidecar))
}

// layer is where what the Sidecar says is, beside what all are told.
func (k sidecarUse) layer() ir.Layer { return ir.SidecarLayer(k.Namespace, k.Sidecar) }

func (k sidecarUse) viewer() viewer { return viewer{namespace: k.Namespace, sidecar: k.Sidecar} }

// sidecarOf is the Sidecar that holds for a class.
func (m *Model) sidecarOf(c *graph.Ctx, class string) (sidecarUse, bool) {
	return graph.Get(c, m.chosen, class)
}

// isLayered tells whether a Sidecar has a layer: whether it says anything that is not
// said by what its sidecars are told, and what not.
func (m *Model) isLayered(c *graph.Ctx, k sidecarUse) bool {
	if _, ok := graph.Get(c, m.unknowns, k); ok {
		return true
	}
	_, ok := graph.Get(c, m.listings, k)
	return ok
}

type sidecarTables struct {
	listingTables
	sidecarRules *graph.Table[string, *sidecarRules]
	homes        *graph.Table[scopeHost, string] // the namespaces of hosts
	homesByName  *graph.Index[string, scopeHost, string]
	homesIn      *graph.Index[string, scopeHost, string] // by namespace
	homesByTail  *graph.Index[string, scopeHost, string] // by the patterns that cover them
	chosen       *graph.Table[string, sidecarUse]        // by class
	used         *graph.Table[sidecarUse, struct{}]
	imported     *graph.Table[sidecarUse, *ir.Imports] // of those that narrow
	ingress      *graph.Table[sidecarUse, *ingressRules]
	unknowns     *graph.Table[sidecarUse, ir.Unknown] // where it is not what the mesh says
}

// deriveSidecars decides which Sidecar holds for each class: one that selects it,
// else its namespace's, else the mesh's.
func (m *Model) deriveSidecars(g *graph.Graph) {
	byNamespace := graph.NewIndex(g, "sidecars.byNamespace", m.Sidecars.Table(), strings.Compare,
		func(k ir.ConfigKey, _ *ir.Sidecar) []string { return []string{k.Namespace} })
	m.sidecarRules = graph.Derive(g, "sidecarRules", byNamespace.Keys(), strings.Compare,
		func(c *graph.Ctx, namespace string, _ struct{}, emit func(string, *sidecarRules)) {
			var all []*ir.Sidecar
			for _, s := range graph.Each(c, byNamespace, namespace) {
				all = append(all, s)
			}
			out := &sidecarRules{}
			out.Whole, out.Workloads = oldest(c, all, func(s *ir.Sidecar) claim {
				return claim{kindSidecar, s.Origin, s.Created, s.Selector}
			})
			emit(namespace, out)
		})
	m.chosen = graph.Derive(g, "sidecars.chosen", m.Classes.Table(), strings.Compare,
		func(c *graph.Ctx, key string, class *ir.Class, emit func(string, sidecarUse)) {
			if class.Role != ir.RoleSidecar {
				return
			}
			if s := m.chooseSidecar(c, class); s != nil {
				emit(key, sidecarUse{class.Namespace, ir.ConfigKey{Namespace: s.Origin.Namespace, Name: s.Origin.Name}})
			}
		})
	m.deriveHomes(g)
	m.used = graph.NewIndex(g, "sidecars.used", m.chosen, sidecarUse.Compare,
		func(_ string, k sidecarUse) []sidecarUse { return []sidecarUse{k} }).Keys()
	m.deriveListings(g)
	m.imported = graph.Derive(g, "imported", m.listings, sidecarUse.Compare,
		func(c *graph.Ctx, k sidecarUse, l *ir.Listing, emit func(sidecarUse, *ir.Imports)) {
			out := &ir.Imports{Told: m.told(c, k.Namespace, &l.HostList, l.Excludes)}
			for i := range l.Ports {
				out.Ports = append(out.Ports, ir.PortTold{Port: l.Ports[i].Port, Told: m.told(c, k.Namespace, &l.Ports[i].HostList, l.Excludes)})
			}
			emit(k, out)
		})
	m.ingress = graph.Derive(g, "sidecars.ingress", m.used, sidecarUse.Compare,
		func(c *graph.Ctx, k sidecarUse, _ struct{}, emit func(sidecarUse, *ingressRules)) {
			if s, ok := graph.Get(c, m.Sidecars.Table(), k.Sidecar); ok && (s.ListsIngress || s.Pool != nil) {
				emit(k, &ingressRules{s.Origin, s.ListsIngress, s.Ingress, s.Pool})
			}
		})
	m.unknowns = graph.Derive(g, "unknowns", m.used, sidecarUse.Compare, m.unknownOf)
}

// chooseSidecar is the Sidecar that holds for a class, nil for none.
func (m *Model) chooseSidecar(c *graph.Ctx, class *ir.Class) *ir.Sidecar {
	if rules, ok := graph.Get(c, m.sidecarRules, class.Namespace); ok {
		var selecting []*ir.Sidecar
		for _, s := range rules.Workloads {
			if class.Labels.Contains(s.Selector) {
				selecting = append(selecting, s)
			}
		}
		for i := 1; i < len(selecting); i++ {
			c.Report(conflict(selecting[i].Origin, selecting[0].Origin, "for some workload, another Sidecar that selects it"))
		}
		if len(selecting) > 0 {
			return selecting[0]
		}
		if rules.Whole != nil {
			return rules.Whole
		}
	}
	if mesh, ok := m.settings(c); ok && mesh.RootNamespace != class.Namespace {
		if rules, ok := graph.Get(c, m.sidecarRules, mesh.RootNamespace); ok {
			return rules.Whole
		}
	}
	return nil
}

// deriveHomes makes the namespaces of hosts known, which change more rarely than the
// hosts do.
func (m *Model) deriveHomes(g *graph.Graph) {
	m.homes = graph.Derive(g, "homes", m.hosts, scopeHost.Compare,
		func(_ *graph.Ctx, k scopeHost, h *ir.Host, emit func(scopeHost, string)) { emit(k, h.Namespace) })
	m.homesByName = graph.NewIndex(g, "homes.byName", m.homes, strings.Compare,
		func(k scopeHost, _ string) []string { return []string{k.Host} })
	m.homesIn = graph.NewIndex(g, "homes.in", m.homes, strings.Compare,
		func(_ scopeHost, namespace string) []string { return []string{namespace} })
	m.homesByTail = graph.NewIndex(g, "homes.byTail", m.homes, strings.Compare,
		func(k scopeHost, _ string) []string { return wildcards(k.Host) })
}

// told is the hosts of a list that the sidecars of a namespace are told of.
func (m *Model) told(c *graph.Ctx, namespace string, list *ir.HostList, excludes []ir.HostPattern) ir.Told {
	if list.All && len(excludes) == 0 {
		return ir.Told{All: true}
	}
	return ir.Told{Hosts: m.listedHosts(c, namespace, listed(list), excludes)}
}

// listedHosts is the hosts that patterns list for the sidecars of a namespace, sorted.
func (m *Model) listedHosts(c *graph.Ctx, namespace string, listed, excluded []ir.HostPattern) []string {
	found := map[string]string{} // the namespace that defines the host as this one sees it
	take := func(k scopeHost, home string) {
		if k.Scope == namespace || k.Scope == "" && found[k.Host] == "" {
			found[k.Host] = home
		}
	}
	for _, p := range listed {
		index, ruled, at := m.homesByName, m.routeHomes, p.Host
		switch {
		case p.Host == "*" && p.Namespace != "":
			index, ruled, at = m.homesIn, m.routeHomesIn, p.Namespace
		case strings.HasPrefix(p.Host, "*"):
			index, ruled = m.homesByTail, m.routeHomesTail
		}
		for k, home := range graph.Each(c, index, at) {
			if p.Covers(home, k.Host) {
				take(k, home)
			}
		}
		for k := range graph.Each(c, ruled, at) { // routes may name what nobody defines
			if p.Covers(k.Namespace, k.Host) && !has(c, m.hostNames, k.Host) {
				take(scopeHost{Host: k.Host}, k.Namespace)
			}
		}
	}
	out := []string{}
	for host, home := range found {
		if !slices.ContainsFunc(excluded, func(p ir.HostPattern) bool { return p.Covers(home, host) }) {
			out = append(out, host)
		}
	}
	slices.Sort(out)
	return out
}

func inNamespace(patterns []ir.HostPattern, namespace string, mesh *ir.Mesh) []ir.HostPattern {
	out := make([]ir.HostPattern, 0, len(patterns))
	for _, p := range patterns {
		out = append(out, p.In(namespace, mesh.ClusterDomain))
	}
	return out
}
