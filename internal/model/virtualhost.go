// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"slices"
	"strings"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// deriveVirtualHosts makes the sidecars' virtual hosts. The mesh layer has each
// host as everybody sees it; a namespace's layer has it again where the
// namespace's view differs: because short names are valid there, because routes
// are exported to it or are its own, or because its clusters hash by something else.
// A class's layer has it where rules ask for labels that the class has, or where
// policies that select the class hash by something else.
func (m *Model) deriveVirtualHosts(g *graph.Graph) {
	byHost := graph.NewIndex(g, "routes.byHost", m.settled, strings.Compare,
		func(_ ir.ConfigKey, r *ir.Routes) []string {
			if !r.Mesh || len(r.HTTP) == 0 {
				return nil
			}
			return r.Hosts
		})
	m.deriveStrays(g, byHost.Keys())
	m.deriveCoverings(g)
	names := graph.Union(g, "requested", strings.Compare, m.hostNames, m.strays)
	m.VirtualHosts = graph.Derive(g, "virtualHosts", names, VirtualHostKey.Compare,
		func(c *graph.Ctx, name string, _ struct{}, emit func(VirtualHostKey, *ir.VirtualHost)) {
			mesh, ok := m.settings(c)
			scopes := m.scopesOf(c, name)
			stray := has(c, m.strays, name)
			if !ok || !stray && !scopes.has(servesRequests) {
				return
			}
			rules, alias := rulesOf(c, byHost, name), ""
			if of := scopes.of(); of != "" && len(rules.all) == 0 {
				rules, alias = rulesOf(c, byHost, of), of
			}
			if stray {
				scopes.all = strayHost(name, rules.all)
			}
			told, home := shadows{}, homeOf(name, mesh.ClusterDomain)
			for _, by := range m.views(c, name, home, scopes, rules.all) {
				h := scopes.in(by.namespace)
				routes := func(port uint16) []*ir.Routes {
					if alias != "" && h.Of != alias {
						return nil
					}
					return rules.seenBy(c, m, by, port)
				}
				if h != nil && (!stray || len(routes(strayPort)) > 0) {
					m.emitHost(c, mesh, h, by, routes, told, emit)
					if by == (viewer{}) || by == (viewer{namespace: by.namespace}) && (h != scopes.all || by.namespace == home) {
						names := append([]string{name}, aliases(name, mesh.ClusterDomain, by.namespace)...)
						m.emitPods(c, mesh, h, by, names, emit)
					}
				}
			}
		})
}

// servesRequests tells whether a host has a port whose requests are routed.
func servesRequests(h *ir.Host) bool {
	return slices.ContainsFunc(h.Ports, func(p ir.ServicePort) bool { return p.Protocol.MayBeHTTP() })
}

// routesFor is the routes for a host, by how exactly they name it: those with its
// name, then those of each wildcard, the most specific first. Behind routes that
// everybody sees nothing can have an effect. Routes that do not count are left out.
func routesFor(
	c *graph.Ctx, byHost *graph.Index[string, ir.ConfigKey, *ir.Routes], host string, counts func(*ir.Routes) bool,
) [][]*ir.Routes {
	var out [][]*ir.Routes
	patterns := wildcards(host)
	if !strings.HasPrefix(host, "*") {
		patterns = slices.Insert(patterns, 0, host)
	}
	for _, pattern := range patterns {
		var level []*ir.Routes
		final := false
		for _, r := range graph.Each(c, byHost, pattern) {
			if counts(r) {
				level = append(level, r)
				final = final || r.ExportTo.All
			}
		}
		if len(level) > 0 {
			out = append(out, level)
		}
		if final {
			break
		}
	}
	return out
}

// visible is the most specific routes that a namespace sees, its own first, then
// the oldest. The namespace "" sees what everybody sees.
func visible(candidates [][]*ir.Routes, namespace string) []*ir.Routes {
	var out []*ir.Routes
	for _, level := range candidates {
		for _, r := range level {
			if r.ExportTo.All || namespace != "" && r.ExportTo.Sees(namespace) {
				out = append(out, r)
			}
		}
		if len(out) > 0 {
			break
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

// views is who sees a host in their own way: everybody, then namespaces and classes
// that have sidecars.
func (m *Model) views(c *graph.Ctx, name, home string, scopes hostScopes, candidates [][]*ir.Routes) []viewer {
	all := append([]viewer{{}}, namespaceViews(scopes.namespaces())...)
	all = append(all, m.hashViewers(c, name)...)
	all = append(all, m.listViews(c, name, scopes, candidates)...)
	if home != "" {
		all = append(all, viewer{namespace: home})
	}
	for r := range everyRoute(candidates) {
		for i := range r.HTTP {
			for _, d := range r.HTTP[i].Destinations {
				if d.Host != name {
					all = append(all, m.hashViewers(c, d.Host)...)
					all = append(all, namespaceViews(m.narrowViews(c, d.Host))...)
				}
			}
		}
	}
	return m.active(c, append(all, m.audience(c, candidates, requestPlaces)...))
}

func (m *Model) emitHost(
	c *graph.Ctx, mesh *ir.Mesh, h *ir.Host, by viewer, routesAt func(port uint16) []*ir.Routes, told shadows,
	emit func(VirtualHostKey, *ir.VirtualHost),
) {
	hash := func(k ir.ClusterKey) ir.LoadBalancer { return m.hashFor(c, by, k) }
	labels := m.labelsOf(c, by)
	for _, at := range m.httpPorts(c, h) {
		port := at.service
		key := VirtualHostKey{by.layer(), ir.VirtualHostKey{RouteConfig: at.routeConfig(h), Host: h.Name}}
		vh := &ir.VirtualHost{
			Key: key.Host, Port: port.Port, Retry: mesh.Clients.Retry,
			NoAttempts: mesh.Dialect.NoAttempts, TellHost: mesh.Dialect.TellHost,
		}
		if isAlone(h, port) {
			vh.Domains, vh.Alone = []string{"*"}, true
		} else {
			vh.Domains = m.domains(c, mesh, by.namespace, h, at.dialled)
		}
		if len(vh.Domains) == 0 {
			continue
		}
		vh.Covered = m.isCovered(c, at.dialled, append(aliases(h.Name, mesh.ClusterDomain, ""), h.Name))
		req := request{port: port.Port, namespace: by.namespace, labels: labels}
		routes := routesAt(port.Port)
		for _, r := range routes {
			vh.Origins = append(vh.Origins, r.Origins()...)
			vh.Rules = append(vh.Rules, m.resolve(c, r, req, vh.Domains, (*ir.Match).TakesFromSidecars, hash)...)
		}
		if len(routes) == 0 {
			cl := ir.ClusterKey{Host: h.Name, Port: port.Port}
			vh.Rules = []ir.ResolvedRule{{
				Name:    "default",
				Session: m.session(c, cmp.Or(h.Of, h.Name)),
				Targets: []ir.Target{{Cluster: cl, Weight: 100, Hash: hash(cl), Dynamic: calledAt(port)}},
			}}
		}
		if len(routes) > 1 {
			told.report(c, h.Name, by.namespace, vh.Rules)
		}
		emit(key, vh)
	}
}

// request is what the place of a rule says of the requests that it gets.
type request struct {
	port uint16 // as users see it
	tls  bool   // came to a gateway as HTTPS

	namespace string    // of the proxy; "" when proxies of all namespaces share the place
	labels    ir.Labels // of the proxy; nil when proxies of all labels share the place
}

// fits tells whether such requests can fulfil a match.
func (q request) fits(p *ir.Place) bool {
	return (p.Port == 0 || p.Port == q.port) && (p.Namespace == "" || p.Namespace == q.namespace) && q.labels.Contains(p.Labels)
}

// redirect decides the port of a redirect: Envoy cannot take it from the request.
// The default port of the scheme stays out of the URL, as clients write it.
func (q request) redirect(in *ir.Redirect) *ir.Redirect {
	if in == nil {
		return nil
	}
	out := *in
	if in.SamePort {
		out.Port, out.SamePort = q.port, false
	}
	scheme := in.Scheme
	switch {
	case scheme == "" && q.tls:
		scheme = "https"
	case scheme == "":
		scheme = "http"
	}
	if scheme == "http" && out.Port == 80 || scheme == "https" && out.Port == 443 {
		out.Port = 0
	}
	return &out
}

// resolve turns rules into clusters. It does not ask whether a subset exists:
// deriveSubsets has done that, and a cluster that is not there answers 503.
func (m *Model) resolve(
	c *graph.Ctx, r *ir.Routes, req request, domains []string, holds func(*ir.Match) bool, hash func(ir.ClusterKey) ir.LoadBalancer,
) []ir.ResolvedRule {
	out := make([]ir.ResolvedRule, 0, len(r.HTTP))
	for i := range r.HTTP {
		rule := &r.HTTP[i]
		matches := rule.Matches
		if len(matches) > 0 {
			matches = slices.DeleteFunc(slices.Clone(matches), func(x ir.Match) bool { return !holds(&x) || !req.fits(&x.Place) })
			if len(matches) == 0 {
				continue
			}
		}
		res := ir.ResolvedRule{
			Origin: rule.Origin, Name: rule.Name, Matches: matches,
			Direct: rule.Direct, Redirect: req.redirect(rule.Redirect),
			Timeout: int64(rule.Timeout), Retry: rule.Retry, Handling: rule.Handling,
		}
		for _, d := range rule.Destinations {
			cl := ir.ClusterKey{Host: d.Host, Port: m.destinationPort(c, d, &req), Subset: d.Subset}
			res.Targets = append(res.Targets, ir.Target{
				Cluster: cl, Weight: d.Weight, Hash: hash(cl), Headers: d.Headers, Authority: d.Authority,
				Dynamic: m.dynamicPort(c, req.namespace, cl),
			})
			if res.Session == nil {
				res.Session = m.session(c, d.Host)
			}
		}
		if strays(res.Targets, domains) {
			res.Targets, res.Direct = nil, &ir.Direct{Status: 500}
		}
		for _, x := range rule.Mirrors {
			cl := ir.ClusterKey{Host: x.To.Host, Port: m.destinationPort(c, x.To, &req), Subset: x.To.Subset}
			if m.dynamicPort(c, req.namespace, cl) == 0 { // a copy is for no name that anybody asked for
				res.Copies = append(res.Copies, ir.Copy{Cluster: cl, Percent: x.Percent})
			}
		}
		out = append(out, res)
	}
	return out
}

// session is how clients of a host stay with an endpoint; nil: they do not.
func (m *Model) session(c *graph.Ctx, host string) *ir.Session {
	out, _ := graph.Get(c, m.sessions, host)
	return out
}

// destinationPort is the port that a destination means: the one it names, else
// the only one of its host, else the one at which the request came.
func (m *Model) destinationPort(c *graph.Ctx, d ir.Destination, req *request) uint16 {
	if d.Port != 0 {
		return d.Port
	}
	if h, ok := m.host(c, req.namespace, d.Host); ok && len(h.Ports) == 1 {
		return h.Ports[0].Port
	}
	return req.port
}
