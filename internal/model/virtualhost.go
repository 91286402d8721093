// SPDX-License-Identifier: Apache-2.0

package model

import (
	"slices"
	"strings"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// deriveVirtualHosts makes the sidecars' virtual hosts. The mesh layer has each
// host as everybody sees it; a namespace's layer has it again where the
// namespace's view differs: because short names are valid there, or because
// routes are exported to it or are its own.
func (m *Model) deriveVirtualHosts(g *graph.Graph) {
	byHost := graph.NewIndex(g, "routes.byHost", m.Routes.Table(), strings.Compare,
		func(_ ir.ConfigKey, r *ir.Routes) []string {
			if !r.Mesh {
				return nil
			}
			return r.Hosts
		})
	m.VirtualHosts = graph.Derive(g, "virtualHosts", m.hosts, VirtualHostKey.Compare,
		func(c *graph.Ctx, name string, h *ir.Host, emit func(VirtualHostKey, *ir.VirtualHost)) {
			mesh, ok := m.settings(c)
			if !ok || !hasHTTP(h) {
				return
			}
			candidates := routesFor(c, byHost, name)
			m.emitHost(c, h, ir.LayerMesh, domains(h, mesh.ClusterDomain, false), visible(candidates, ""), emit)
			for _, ns := range m.views(c, h, candidates) {
				names := domains(h, mesh.ClusterDomain, ns == h.Namespace)
				m.emitHost(c, h, ir.NamespaceLayer(ns), names, visible(candidates, ns), emit)
			}
		})
}

func hasHTTP(h *ir.Host) bool {
	return slices.ContainsFunc(h.Ports, func(p ir.ServicePort) bool { return p.Protocol.IsHTTP() })
}

// routesFor is the routes that name a host; those with a wildcard count only
// when none names it exactly, the most specific wildcard first.
func routesFor(c *graph.Ctx, byHost *graph.Index[string, ir.ConfigKey, *ir.Routes], host string) []*ir.Routes {
	for _, pattern := range append([]string{host}, wildcards(host)...) {
		var out []*ir.Routes
		for _, r := range graph.Each(c, byHost, pattern) {
			out = append(out, r)
		}
		if len(out) > 0 {
			return out
		}
	}
	return nil
}

// visible is the routes that a namespace sees, its own first, then the oldest.
// The namespace "" sees what everybody sees.
func visible(all []*ir.Routes, namespace string) []*ir.Routes {
	var out []*ir.Routes
	for _, r := range all {
		if r.ExportTo.All || namespace != "" && r.ExportTo.Sees(namespace) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b *ir.Routes) int {
		if mine := a.Origin.Namespace == namespace; mine != (b.Origin.Namespace == namespace) {
			if mine {
				return -1
			}
			return 1
		}
		return ir.Precedence(a.Created, a.Origin, b.Created, b.Origin)
	})
	return out
}

// views is the namespaces with sidecars that see a host in their own way.
func (m *Model) views(c *graph.Ctx, h *ir.Host, candidates []*ir.Routes) []string {
	all := []string{h.Namespace}
	for _, r := range candidates {
		if !r.ExportTo.All {
			all = append(all, r.ExportTo.Namespaces...)
		}
		if len(candidates) > 1 {
			all = append(all, r.Origin.Namespace)
		}
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(ns string) bool {
		_, active := graph.Get(c, m.namespaces, ns)
		return !active
	})
}

func (m *Model) emitHost(
	c *graph.Ctx, h *ir.Host, layer ir.Layer, names []string, routes []*ir.Routes,
	emit func(VirtualHostKey, *ir.VirtualHost),
) {
	for _, port := range h.Ports {
		if !port.Protocol.IsHTTP() {
			continue
		}
		key := VirtualHostKey{layer, ir.VirtualHostKey{RouteConfig: ir.OutboundRouteName(port.Port), Host: h.Name}}
		vh := &ir.VirtualHost{Key: key.Host, Domains: names}
		for _, r := range routes {
			vh.Origins = append(vh.Origins, r.Origin)
			vh.Rules = append(vh.Rules, m.resolve(c, r, sidecarMatch, port.Port, func(k ir.ClusterKey) ir.LoadBalancer {
				return m.hashFor(c, layer, k)
			})...)
		}
		if len(routes) == 0 {
			cl := ir.ClusterKey{Host: h.Name, Port: port.Port}
			vh.Rules = []ir.ResolvedRule{{
				Name:    "default",
				Targets: []ir.Target{{Cluster: cl, Weight: 100, Hash: m.hashFor(c, layer, cl)}},
			}}
		}
		emit(key, vh)
	}
}

// sidecarMatch tells whether a match holds in the sidecars.
func sidecarMatch(match *ir.Match) bool { return !match.GatewaysSet || match.Mesh }

// resolve turns rules into clusters. It does not ask whether a subset exists: a
// cluster that is not there answers 503, and the reference is reported on its own.
func (m *Model) resolve(
	c *graph.Ctx, r *ir.Routes, holds func(*ir.Match) bool, port uint16, hash func(ir.ClusterKey) ir.LoadBalancer,
) []ir.ResolvedRule {
	out := make([]ir.ResolvedRule, 0, len(r.HTTP))
	for i := range r.HTTP {
		rule := &r.HTTP[i]
		matches := rule.Matches
		if len(matches) > 0 {
			matches = slices.DeleteFunc(slices.Clone(matches), func(x ir.Match) bool { return !holds(&x) })
			if len(matches) == 0 {
				continue
			}
		}
		res := ir.ResolvedRule{
			Origin: rule.Origin, Name: rule.Name, Matches: matches,
			Direct: rule.Direct, Timeout: int64(rule.Timeout), Retry: rule.Retry,
		}
		for _, d := range rule.Destinations {
			cl := ir.ClusterKey{Host: d.Host, Port: m.destinationPort(c, d, port), Subset: d.Subset}
			res.Targets = append(res.Targets, ir.Target{Cluster: cl, Weight: d.Weight, Hash: hash(cl)})
		}
		out = append(out, res)
	}
	return out
}

// destinationPort is the port that a destination means: the one it names, else
// the only one of its host, else the one at which the request came.
func (m *Model) destinationPort(c *graph.Ctx, d ir.Destination, port uint16) uint16 {
	if d.Port != 0 {
		return d.Port
	}
	if h, ok := graph.Get(c, m.hosts, d.Host); ok && len(h.Ports) == 1 {
		return h.Ports[0].Port
	}
	return port
}
