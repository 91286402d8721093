// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"slices"
	"strings"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// gatewayHostKey is a virtual host of a class of gateway proxies.
type gatewayHostKey struct {
	Class string
	Host  ir.VirtualHostKey
}

func (k gatewayHostKey) Compare(o gatewayHostKey) int {
	return cmp.Or(strings.Compare(k.Class, o.Class), k.Host.Compare(o.Host))
}

// gatewayHost is which routes make a virtual host; the routes themselves are
// read host by host, so that an edit rebuilds the hosts that it touches.
type gatewayHost struct {
	Routes      []gatewayRoute // those that name the host most narrowly, then the oldest, first
	Port        uint16         // as users see it
	TLS         bool           // it comes as HTTPS
	RedirectTLS bool
	Answer      uint32 // given to every request in place of the routes; 0: none
}

type gatewayRoute struct {
	Gateway ir.ConfigKey
	Route   ir.ConfigKey
	narrow  int // how narrowly it names the host
	created int64
	alike   bool // its rules are the same at every gateway
}

// GatewayRouteConfigKey is a route configuration of a class of gateway proxies.
type GatewayRouteConfigKey struct {
	Class string
	Name  string
}

// Compare orders by class, then name.
func (k GatewayRouteConfigKey) Compare(o GatewayRouteConfigKey) int {
	return cmp.Or(strings.Compare(k.Class, o.Class), strings.Compare(k.Name, o.Name))
}

// gatewayCluster is a cluster that a class of gateway proxies routes to.
type gatewayCluster struct {
	Class   string
	Cluster ir.ClusterKey
}

func (k gatewayCluster) Compare(o gatewayCluster) int {
	return cmp.Or(strings.Compare(k.Class, o.Class), k.Cluster.Compare(o.Cluster))
}

func (m *Model) deriveGatewayHosts(g *graph.Graph) {
	byGateway := graph.NewIndex(g, "routes.byGateway", m.settled, ir.ConfigKey.Compare,
		func(_ ir.ConfigKey, r *ir.Routes) []ir.ConfigKey { return r.Gateways })
	m.gatewayHosts = graph.Derive(g, "gatewayHosts", m.GatewayViews, gatewayHostKey.Compare,
		func(c *graph.Ctx, class string, v *GatewayView, emit func(gatewayHostKey, *gatewayHost)) {
			for config, hosts := range m.hostsOf(c, byGateway, v) {
				for host, gh := range hosts {
					emit(gatewayHostKey{class, ir.VirtualHostKey{RouteConfig: config, Host: host}}, gh)
				}
			}
		})
	m.GatewayRouteConfigs = graph.Derive(g, "gatewayRouteConfigs", m.GatewayViews, GatewayRouteConfigKey.Compare,
		func(c *graph.Ctx, class string, v *GatewayView, emit func(GatewayRouteConfigKey, *ir.RouteConfig)) {
			for i := range v.Ports {
				for j := range v.Ports[i].Servers {
					k := GatewayRouteConfigKey{class, v.Ports[i].Servers[j].RouteConfig}
					if k.Name == "" || j > 0 && !v.Ports[i].TLS {
						continue // it carries bytes; plaintext servers of a port share one
					}
					rc := &ir.RouteConfig{Name: k.Name}
					if t := v.Ports[i].Servers[j].Server.TLS; t != nil && t.CarriesHTTP3() {
						rc.HTTP3 = v.Ports[i].HTTP3.Facing
					}
					emit(k, rc)
				}
			}
		})
	m.GatewayVirtualHosts = graph.Derive(g, "gatewayVirtualHosts", m.gatewayHosts, VirtualHostKey.Compare, m.gatewayVirtualHost)
	m.claimed = graph.NewIndex(g, "gatewayVirtualHosts.byClaims", m.GatewayVirtualHosts, strings.Compare,
		func(k VirtualHostKey, vh *ir.VirtualHost) []string {
			if !slices.ContainsFunc(vh.Rules, asksForClaims) {
				return nil
			}
			return []string{layerClass(k.Layer)}
		}).Keys()
	m.deriveGatewayTargets(g)
}

// deriveGatewayTargets makes the clusters that the hosts and listeners of a gateway name.
func (m *Model) deriveGatewayTargets(g *graph.Graph) {
	requested := graph.NewIndex(g, "gatewayVirtualHosts.byCluster", m.GatewayVirtualHosts, gatewayCluster.Compare,
		func(k VirtualHostKey, vh *ir.VirtualHost) []gatewayCluster {
			var out []gatewayCluster
			for i := range vh.Rules {
				for _, t := range vh.Rules[i].Targets {
					out = append(out, gatewayCluster{layerClass(k.Layer), t.Cluster})
				}
				for _, x := range vh.Rules[i].Copies {
					out = append(out, gatewayCluster{layerClass(k.Layer), x.Cluster})
				}
			}
			return out
		}).Keys()
	carried := graph.NewIndex(g, "gatewayListeners.byCluster", m.GatewayListeners, gatewayCluster.Compare,
		func(k GatewayListenerKey, l *ir.GatewayListener) []gatewayCluster {
			var out []gatewayCluster
			for i := range l.Streams {
				for _, t := range l.Streams[i].Targets {
					out = append(out, gatewayCluster{k.Class, t.Cluster})
				}
			}
			return out
		}).Keys()
	used := graph.Union(g, "gatewayClusters", gatewayCluster.Compare, requested, carried)
	m.GatewayTargets = graph.Derive(g, "gatewayTargets", used, TargetKey.Compare, m.gatewayTarget)
	m.gatewayNearness = graph.Derive(g, "gatewayNearness", m.GatewayTargets, TargetKey.Compare, m.near)
}

func layerClass(l ir.Layer) string { return strings.TrimPrefix(string(l), string(ir.ClassLayer(""))) }

// hostsOf joins the servers of a view with the routes that are bound to their
// gateways, by route configuration and host. Routes must be exported to where the proxies are: that counts, and not
// where the Gateway is. See
// https://istio.io/latest/docs/reference/config/networking/virtual-service/#VirtualService.
func (m *Model) hostsOf(
	c *graph.Ctx, byGateway *graph.Index[ir.ConfigKey, ir.ConfigKey, *ir.Routes], v *GatewayView,
) map[string]map[string]*gatewayHost {
	out := map[string]map[string]*gatewayHost{}
	at := func(s *GatewayServer, host string) *gatewayHost {
		hosts := out[s.RouteConfig]
		if hosts[host] == nil {
			hosts[host] = &gatewayHost{Port: s.Server.Port, TLS: s.Server.TLS != nil}
		}
		return hosts[host]
	}
	for i := range v.Ports {
		for j := range v.Ports[i].Servers {
			s := &v.Ports[i].Servers[j]
			if !s.Server.IsHTTP() {
				continue
			}
			if out[s.RouteConfig] == nil {
				out[s.RouteConfig] = map[string]*gatewayHost{}
			}
			if s.Server.HTTPSRedirect {
				for _, h := range s.Server.Hosts {
					at(s, h.Host).RedirectTLS = true
				}
				continue
			}
			for key, r := range graph.Each(c, byGateway, s.Gateway) {
				if !r.ExportTo.Sees(v.Namespace) || len(r.HTTP) == 0 {
					continue
				}
				alike := !slices.ContainsFunc(r.HTTP, asksForGateways)
				for _, host := range served(s, r) {
					gh := at(s, host)
					gh.Routes = append(gh.Routes, gatewayRoute{s.Gateway, key, narrowness(r.Hosts, host), r.Created, alike})
				}
			}
		}
		if v.Ports[i].TLS {
			v.Ports[i].misdirect(out)
		}
	}
	for _, hosts := range out {
		for _, gh := range hosts {
			gh.order()
		}
	}
	return out
}

// narrowness is how narrowly the narrowest pattern names a host that it covers. By
// their lengths alone a.example.com and *.example.com could not be told apart.
func narrowness(patterns []string, host string) int {
	best := 0
	for _, p := range patterns {
		switch {
		case p == host:
			return len(host) + 1
		case covers(p, host):
			best = max(best, len(p))
		}
	}
	return best
}

// order puts the routes that name the host most narrowly first, then the oldest, each
// once: so a server for one host serves it as a server for more hosts would.
func (gh *gatewayHost) order() {
	slices.SortFunc(gh.Routes, func(a, b gatewayRoute) int {
		return cmp.Or(cmp.Compare(b.narrow, a.narrow), cmp.Compare(a.created, b.created), a.Route.Compare(b.Route), a.Gateway.Compare(b.Gateway))
	})
	gh.Routes = slices.CompactFunc(gh.Routes, func(a, b gatewayRoute) bool {
		return a.Route == b.Route && (a.Gateway == b.Gateway || a.alike)
	})
}

// asksForGateways tells whether some match of a rule holds at some gateways only.
func asksForGateways(r ir.Rule) bool {
	return slices.ContainsFunc(r.Matches, func(x ir.Match) bool { return x.GatewaysSet })
}

// served is the hosts of the routes that a server takes: for each pair of
// patterns that overlap, the narrower one.
func served(s *GatewayServer, r *ir.Routes) []string {
	var out []string
	for _, sh := range s.Server.Hosts {
		ns := sh.Namespace
		if ns == "." {
			ns = s.Gateway.Namespace
		}
		if ns != "*" && ns != r.Origin.Namespace {
			continue
		}
		for _, host := range r.Hosts {
			if name, ok := narrower(sh.Host, host); ok {
				out = append(out, name)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (m *Model) gatewayVirtualHost(
	c *graph.Ctx, k gatewayHostKey, gh *gatewayHost, emit func(VirtualHostKey, *ir.VirtualHost),
) {
	class, ok := graph.Get(c, m.Classes.Table(), k.Class)
	mesh, known := m.settings(c)
	if !ok || !known {
		return
	}
	speaks := class.Speaks(mesh)
	vh := &ir.VirtualHost{
		Key: k.Host, Domains: []string{k.Host.Host}, RedirectTLS: gh.RedirectTLS, Retry: mesh.Clients.Retry,
		NoAttempts: speaks.NoAttempts, TellHost: speaks.TellHost,
	}
	if gh.Answer != 0 {
		vh.Rules = []ir.ResolvedRule{{Direct: &ir.Direct{Status: gh.Answer}}}
	}
	for _, ref := range gh.Routes {
		r, ok := graph.Get(c, m.settled, ref.Route)
		if !ok {
			continue
		}
		vh.Origins = append(vh.Origins, r.Origins()...)
		holds := func(x *ir.Match) bool { return x.OnGateway(ref.Gateway) }
		req := request{gh.Port, gh.TLS, class.Namespace, class.Labels}
		vh.Rules = append(vh.Rules, m.resolve(c, r, req, vh.Domains, holds, func(cl ir.ClusterKey) ir.LoadBalancer {
			return m.hashFor(c, viewer{namespace: class.Namespace, class: k.Class}, cl)
		})...)
	}
	vh.Origins = slices.Compact(vh.Origins)
	m.checkClaims(c, k.Class, class, vh.Rules)
	if len(vh.Origins) > 1 {
		shadows{}.report(c, k.Host.Host, "", vh.Rules)
	}
	emit(VirtualHostKey{ir.ClassLayer(k.Class), k.Host}, vh)
}

// gatewayTarget makes the clusters that a gateway routes to, and no others.
func (m *Model) gatewayTarget(c *graph.Ctx, k gatewayCluster, _ struct{}, emit func(TargetKey, *Target)) {
	class, ok := graph.Get(c, m.Classes.Table(), k.Class)
	if !ok {
		return
	}
	h, ok := m.host(c, class.Namespace, k.Cluster.Host)
	if !ok {
		return
	}
	port, ok := h.Port(k.Cluster.Port)
	if !ok {
		return
	}
	seen := seenHost{m.viewOf(c, viewer{namespace: class.Namespace, class: k.Class}, h.Name), h.Name}
	ch, _ := graph.Get(c, m.choices, seen)
	if h.Of != "" && len(ch.Policies) == 0 {
		ch = m.choiceFor(c, viewer{namespace: class.Namespace, class: k.Class}, h.Of)
	}
	t := target(h, port, ch, nil)
	t.Gateway = true
	if t.Discovery == ir.DiscoverOriginalDst {
		t.Discovery = ir.DiscoverEDS // clients called the gateway, not the host
	}
	if name := k.Cluster.Subset; name != "" {
		s, ok := m.subset(c, ch, name)
		if !ok {
			if s, ok = m.stays(c, seen, name); !ok {
				return
			}
			t.Stays = s
		}
		t.Subset = s.Labels
	}
	emit(TargetKey{ir.ClassLayer(k.Class), k.Cluster}, t)
}

func (m *Model) subset(c *graph.Ctx, ch choice, name string) (*ir.Subset, bool) {
	p := m.policyOf(c, ch)
	if p == nil {
		return nil, false
	}
	return p.Subset(name)
}
