// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"slices"
	"strings"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// gatewayStreams is the chains of a port's servers that carry bytes.
func (m *Model) gatewayStreams(c *graph.Ctx, mesh *ir.Mesh, class *ir.Class, p *GatewayPort) []ir.StreamChain {
	var out []ir.StreamChain
	var rules []streamRule
	for i := range p.Servers {
		s := &p.Servers[i]
		switch {
		case s.Server.IsHTTP():
		case s.Server.TLS == nil:
			rules = append(rules, m.gatewayRules(c, class, s, tcpRules)...)
		case s.Server.TLS.Mode == ir.ServerAutoPassthrough:
			out = append(out, ir.StreamChain{ServerNames: clusterNames(s.ServerNames), ByName: true, Origins: []ir.Origin{s.Server.Origin}})
		case s.Server.TLS.Mode == ir.ServerPassthrough:
			rules = append(rules, p.named(c, s, m.gatewayRules(c, class, s, tlsRules))...)
		default:
			rules = append(rules, m.terminated(c, mesh, class, s)...)
		}
	}
	return append(out, streamChains(rules)...)
}

func tcpRules(r *ir.Routes) []ir.StreamRule { return r.TCP }
func tlsRules(r *ir.Routes) []ir.StreamRule { return r.TLS }

// gatewayRules is the rules that hold for a server of a gateway: those of the routes
// that are bound to its Gateway and have a host that it has, oldest first.
func (m *Model) gatewayRules(
	c *graph.Ctx, class *ir.Class, s *GatewayServer, list func(*ir.Routes) []ir.StreamRule,
) []streamRule {
	var routes []*ir.Routes
	for _, r := range graph.Each(c, m.routesByStreamGateway, s.Gateway) {
		if r.ExportTo.Sees(class.Namespace) {
			routes = append(routes, r)
		}
	}
	slices.SortFunc(routes, func(a, b *ir.Routes) int { return ir.Precedence(a.Created, a.Origin, b.Created, b.Origin) })
	by := viewer{namespace: class.Namespace}
	req := request{port: s.Server.Port, tls: s.Server.TLS != nil, namespace: class.Namespace, labels: class.Labels}
	holds := func(p *ir.Place) bool { return p.OnGateway(s.Gateway) }
	var out []streamRule
	for _, r := range routes {
		hosts := served(s, r)
		if len(hosts) == 0 {
			continue
		}
		rules := list(r)
		for i := range rules {
			if x, ok := m.streamRuleAt(c, &rules[i], by, req, holds); ok {
				x.hosts, x.detect = hosts, m.detects(c, class.Namespace, x.targets)
				x.origins = append(x.origins, s.Server.Origin)
				out = append(out, x)
			}
		}
	}
	return out
}

// detects tells whether some port that is routed to does not say what it carries.
func (m *Model) detects(c *graph.Ctx, namespace string, targets []ir.Target) bool {
	for i := range targets {
		if h, ok := m.host(c, namespace, targets[i].Cluster.Host); ok {
			if p, _ := h.Port(targets[i].Cluster.Port); p.Protocol == ir.ProtocolAuto {
				return true
			}
		}
	}
	return false
}

// named leaves of the names that rules ask for those which a server has and no other
// server of the port has by that very name.
func (p *GatewayPort) named(c *graph.Ctx, s *GatewayServer, rules []streamRule) []streamRule {
	var out []streamRule
	for _, r := range rules {
		matches := r.matches
		r.matches = nil
		for _, x := range matches {
			var names []string
			for _, asked := range x.ServerNames {
				for _, host := range r.hosts {
					name, ok := narrower(asked, host)
					if !ok || slices.Contains(names, name) {
						continue
					}
					if owner := p.owner(name, s); owner != nil {
						c.Report(conflict(r.origins[0], owner.Server.Origin, "a server for the host "+name))
						continue
					}
					names = append(names, name)
				}
			}
			if len(names) > 0 {
				x.ServerNames = names
				r.matches = append(r.matches, x)
			}
		}
		if len(r.matches) > 0 {
			out = append(out, r)
		}
	}
	return out
}

// owner is the other server of the port that has a host by that very name.
func (p *GatewayPort) owner(name string, not *GatewayServer) *GatewayServer {
	for i := range p.Servers {
		s := &p.Servers[i]
		auto := s.Server.TLS != nil && s.Server.TLS.Mode == ir.ServerAutoPassthrough
		if s != not && !auto && slices.Contains(s.ServerNames, name) {
			return s
		}
	}
	return nil
}

// terminated is the rules of a server at which TLS ends, for its names.
func (m *Model) terminated(c *graph.Ctx, mesh *ir.Mesh, class *ir.Class, s *GatewayServer) []streamRule {
	rules := m.gatewayRules(c, class, s, tcpRules)
	tls, ok := m.chainTLS(c, mesh, class.Namespace, &s.Server)
	if !ok {
		return nil
	}
	for i := range rules {
		rules[i].tls = tls
		for j := range rules[i].matches {
			rules[i].matches[j].ServerNames = s.ServerNames
		}
	}
	return rules
}

// clusterNames is the patterns of names of clusters whose hosts have other patterns.
func clusterNames(hosts []string) []string {
	out := make([]string, len(hosts))
	for i, h := range hosts {
		out[i] = h
		if !strings.HasPrefix(h, "*") {
			out[i] = "*." + h
		}
	}
	slices.Sort(out)
	return out
}

// autoHost is a host pattern of a server whose connections say themselves to which
// cluster they want.
type autoHost struct {
	Class string
	Host  ir.ServerHost
}

func (k autoHost) compare(o autoHost) int {
	return cmp.Or(
		strings.Compare(k.Class, o.Class), strings.Compare(k.Host.Host, o.Host.Host),
		strings.Compare(k.Host.Namespace, o.Host.Namespace),
	)
}

// deriveAutoTargets makes the clusters that connections may name themselves.
func (m *Model) deriveAutoTargets(g *graph.Graph) {
	hosts := graph.NewIndex(g, "gatewayViews.byAutoHost", m.GatewayViews, autoHost.compare,
		func(class string, v *GatewayView) []autoHost {
			var out []autoHost
			for i := range v.Ports {
				for j := range v.Ports[i].Servers {
					s := &v.Ports[i].Servers[j]
					if s.Server.TLS == nil || s.Server.TLS.Mode != ir.ServerAutoPassthrough {
						continue
					}
					for _, h := range s.Server.Hosts {
						if slices.Contains(s.ServerNames, h.Host) {
							out = append(out, autoHost{class, h})
						}
					}
				}
			}
			return out
		}).Keys()
	byPattern := graph.NewIndex(g, "autoHosts.byPattern", hosts, strings.Compare,
		func(k autoHost, _ struct{}) []string { return []string{k.Host.Host} })
	m.AutoTargets = graph.Derive(g, "autoTargets", m.hostNames, TargetKey.Compare,
		func(c *graph.Ctx, name string, _ struct{}, emit func(TargetKey, *Target)) {
			done := map[string]bool{}
			for _, pattern := range append([]string{name}, wildcards(name)...) {
				for k := range graph.Each(c, byPattern, pattern) {
					if !done[k.Class] && m.autoTarget(c, k, name, emit) {
						done[k.Class] = true
					}
				}
			}
		})
}

// autoTarget emits the clusters of a host for one class, unless the host is not of
// the namespace that the server names.
func (m *Model) autoTarget(c *graph.Ctx, k autoHost, name string, emit func(TargetKey, *Target)) bool {
	class, ok := graph.Get(c, m.Classes.Table(), k.Class)
	if !ok {
		return false
	}
	h, ok := m.host(c, class.Namespace, name)
	if !ok || k.Host.Namespace != "*" && k.Host.Namespace != h.Namespace {
		return false
	}
	ch := m.choiceFor(c, viewer{namespace: class.Namespace, class: k.Class}, name)
	var subsets []ir.Subset
	if p := m.policyOf(c, ch); p != nil {
		subsets = p.Subsets
	}
	put := func(port ir.ServicePort, subset string, labels ir.Labels) {
		t := target(h, port, ch, labels)
		t.Gateway, t.Auto = true, true
		if t.Discovery == ir.DiscoverEDS {
			emit(TargetKey{ir.ClassLayer(k.Class), ir.ClusterKey{Host: name, Port: port.Port, Subset: subset}}, t)
		}
	}
	for _, port := range h.Ports {
		put(port, "", nil)
		for i := range subsets {
			put(port, subsets[i].Name, subsets[i].Labels)
		}
	}
	return true
}
