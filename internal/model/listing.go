// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"slices"
	"strings"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// A Sidecar narrows routes as it narrows hosts: those of an object count for its sidecars
// where it lists one of the object's hosts together with the object's namespace. A host
// whose routes do not all count is there once more, in the layer of the Sidecar.

// listingTables is what Sidecars list, by what reads it.
type listingTables struct {
	listings       *graph.Table[sidecarUse, *ir.Listing] // of those that narrow
	listers        *graph.Index[ir.HostPattern, sidecarUse, *ir.Listing]
	routeHomes     *graph.Index[string, routeHome, struct{}] // by host
	routeHomesIn   *graph.Index[string, routeHome, struct{}] // by namespace
	routeHomesTail *graph.Index[string, routeHome, struct{}] // by the patterns that cover the host
}

// routeHome is a namespace that has routes for a host, which need not be defined.
type routeHome struct{ Host, Namespace string }

func (k routeHome) Compare(o routeHome) int {
	return cmp.Or(strings.Compare(k.Host, o.Host), strings.Compare(k.Namespace, o.Namespace))
}

func (m *Model) deriveListings(g *graph.Graph) {
	m.listings = graph.Derive(g, "listings", m.used, sidecarUse.Compare,
		func(c *graph.Ctx, k sidecarUse, _ struct{}, emit func(sidecarUse, *ir.Listing)) {
			s, ok := graph.Get(c, m.Sidecars.Table(), k.Sidecar)
			mesh, known := m.settings(c)
			if ok && known && s.Narrows() {
				emit(k, s.Listing.In(k.Namespace, mesh.ClusterDomain))
			}
		})
	m.listers = graph.NewIndex(g, "listings.byPattern", m.listings, ir.HostPattern.Compare,
		func(_ sidecarUse, l *ir.Listing) []ir.HostPattern {
			out := listed(&l.HostList)
			for i := range l.Ports {
				out = append(out, listed(&l.Ports[i].HostList)...)
			}
			slices.SortFunc(out, ir.HostPattern.Compare)
			return slices.Compact(out)
		})
	homes := graph.NewIndex(g, "routes.homes", m.Routes.Table(), routeHome.Compare,
		func(k ir.ConfigKey, r *ir.Routes) []routeHome {
			if !r.Mesh {
				return nil
			}
			var out []routeHome
			for _, h := range r.Hosts {
				out = append(out, routeHome{h, k.Namespace})
			}
			return out
		}).Keys()
	m.routeHomes = graph.NewIndex(g, "routes.homes.byHost", homes, strings.Compare, func(k routeHome, _ struct{}) []string { return []string{k.Host} })
	m.routeHomesIn = graph.NewIndex(g, "routes.homes.in", homes, strings.Compare, func(k routeHome, _ struct{}) []string { return []string{k.Namespace} })
	m.routeHomesTail = graph.NewIndex(g, "routes.homes.byTail", homes, strings.Compare, func(k routeHome, _ struct{}) []string { return wildcards(k.Host) })
}

func listed(l *ir.HostList) []ir.HostPattern {
	if l.All {
		return []ir.HostPattern{{Host: "*"}}
	}
	return slices.Clone(l.Imports)
}

// listingFor is what the Sidecar of a viewer lists, nil where none narrows.
func (m *Model) listingFor(c *graph.Ctx, by viewer) *ir.Listing {
	use := by.use()
	if by.class != "" {
		use, _ = m.sidecarOf(c, by.class)
	}
	if use == (sidecarUse{}) {
		return nil
	}
	out, _ := graph.Get(c, m.listings, use)
	return out
}

// listViews is the Sidecars that list a host and for which not all of its routes count.
func (m *Model) listViews(c *graph.Ctx, name string, scopes hostScopes, candidates [][]*ir.Routes) []viewer {
	var homes []string
	for r := range everyRoute(candidates) {
		homes = append(homes, r.Origin.Namespace) // of a host that nobody defines
	}
	if len(homes) == 0 {
		return nil
	}
	if scopes.all != nil {
		homes = append(homes, scopes.all.Namespace)
	}
	for _, h := range scopes.narrow {
		homes = append(homes, h.Namespace)
	}
	slices.Sort(homes)
	var out []viewer
	for _, namespace := range append([]string{""}, slices.Compact(homes)...) {
		for _, host := range append([]string{name}, wildcards(name)...) {
			for use, l := range graph.Each(c, m.listers, ir.HostPattern{Namespace: namespace, Host: host}) {
				if h := scopes.in(use.Namespace); h != nil && hides(l, use.Namespace, h, candidates) {
					out = append(out, use.viewer())
				}
			}
		}
	}
	return out
}

// hides tells whether a listing tells of a host and not of all of its routes that a
// namespace sees.
func hides(l *ir.Listing, namespace string, h *ir.Host, candidates [][]*ir.Routes) bool {
	for r := range everyRoute(candidates) {
		if !r.ExportTo.Sees(namespace) {
			continue
		}
		for _, p := range h.Ports {
			if l.Tells(h.Namespace, h.Name, p.Port) && !l.Selects(r.Origin.Namespace, r.Hosts, p.Port) {
				return true
			}
		}
	}
	return false
}

// rulebook is the routes for a host, of one kind.
type rulebook struct {
	index *graph.Index[string, ir.ConfigKey, *ir.Routes]
	host  string
	all   [][]*ir.Routes // those that may count where no Sidecar narrows
}

func rulesOf(c *graph.Ctx, index *graph.Index[string, ir.ConfigKey, *ir.Routes], host string) *rulebook {
	return &rulebook{index, host, routesFor(c, index, host, everything)}
}

func everything(*ir.Routes) bool { return true }

// seenBy is the routes that count for a viewer at a port of the host.
func (x *rulebook) seenBy(c *graph.Ctx, m *Model, by viewer, port uint16) []*ir.Routes {
	l := m.listingFor(c, by)
	if l == nil || len(x.all) == 0 {
		return visible(x.all, by.namespace)
	}
	return visible(routesFor(c, x.index, x.host, func(r *ir.Routes) bool {
		return l.Selects(r.Origin.Namespace, r.Hosts, port)
	}), by.namespace)
}
