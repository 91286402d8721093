// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// GatewayView is what a class of gateway proxies listens on, before routes and
// credentials are looked at.
type GatewayView struct {
	Namespace string
	Ports     []GatewayPort // sorted
}

// GatewayPort is one port with the servers that share it.
type GatewayPort struct {
	Port    uint16 // in the pod
	Bind    ir.Bind
	TLS     bool
	HTTP3   ir.HTTP3Port
	Servers []GatewayServer // oldest gateway first
}

// GatewayServer is a server of a Gateway and the route configuration that it uses.
type GatewayServer struct {
	Gateway     ir.ConfigKey
	Server      ir.Server
	RouteConfig string   // empty: the server carries bytes
	ServerNames []string // TLS only: those that no older server of the port has
}

func (m *Model) deriveGateways(g *graph.Graph) {
	first := func(_ ir.ConfigKey, gw *ir.Gateway) []ir.Label {
		if len(gw.Selector) == 0 {
			return []ir.Label{{}}
		}
		return []ir.Label{gw.Selector[0]}
	}
	byPair := []*graph.Index[ir.Label, ir.ConfigKey, *ir.Gateway]{
		graph.NewIndex(g, "gateways.bySelector", m.Gateways.Table(), comparePair, first),
		graph.NewIndex(g, "ingressGateways.bySelector", m.ingressGateways, comparePair, first),
	}
	m.GatewayViews = graph.Derive(g, "gatewayViews", m.Classes.Table(), strings.Compare,
		func(c *graph.Ctx, key string, class *ir.Class, emit func(string, *GatewayView)) {
			if class.Role != ir.RoleRouter {
				return
			}
			view := &GatewayView{Namespace: class.Namespace}
			ports, datagrams := m.gatewayPorts(c, class), m.http3Ports(c, class)
			for _, gw := range selected(c, byPair, class.Labels) {
				for _, s := range gw.Value.Servers {
					view.add(c, gw.Key, s, ports(s.Port), datagrams[s.Port])
				}
			}
			slices.SortFunc(view.Ports, func(a, b GatewayPort) int { return cmp.Or(cmp.Compare(a.Port, b.Port), a.Bind.Compare(b.Bind)) })
			view.partHTTP3()
			emit(key, view)
		})
}

// selected is the gateways whose selector fits, oldest first.
func selected(
	c *graph.Ctx, byPair []*graph.Index[ir.Label, ir.ConfigKey, *ir.Gateway], labels ir.Labels,
) []graph.Row[ir.ConfigKey, *ir.Gateway] {
	var out []graph.Row[ir.ConfigKey, *ir.Gateway]
	for _, index := range byPair {
		for _, l := range append(ir.Labels{{}}, labels...) {
			for k, gw := range graph.Each(c, index, l) {
				if labels.Contains(gw.Selector) {
					out = append(out, graph.Row[ir.ConfigKey, *ir.Gateway]{Key: k, Value: gw})
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b graph.Row[ir.ConfigKey, *ir.Gateway]) int {
		return ir.Precedence(a.Value.Created, a.Value.Origin, b.Value.Created, b.Value.Origin)
	})
	return out
}

// gatewayPorts maps a port as users see it, at the gateway's Service, to the
// port in the gateway's pods.
func (m *Model) gatewayPorts(c *graph.Ctx, class *ir.Class) func(uint16) uint16 {
	targets := map[uint16]uint16{}
	for _, s := range m.selecting(c, class.Namespace, class.Labels) {
		tp, ok := graph.Get(c, m.targetPorts, s.Host)
		if !ok {
			continue
		}
		for _, p := range tp.Ports {
			if _, known := targets[p.Port]; !known {
				targets[p.Port] = p.Target
			}
		}
	}
	return func(port uint16) uint16 { return cmp.Or(targets[port], port) }
}

// add puts a server on its port, unless an older server has taken what it needs.
func (v *GatewayView) add(c *graph.Ctx, gateway ir.ConfigKey, s ir.Server, port uint16, http3 ir.HTTP3Port) {
	i := slices.IndexFunc(v.Ports, func(p GatewayPort) bool { return p.Port == port && p.Bind == s.Bind })
	if i < 0 {
		v.Ports = append(v.Ports, GatewayPort{Port: port, Bind: s.Bind, TLS: s.TLS != nil})
		i = len(v.Ports) - 1
	}
	p := &v.Ports[i]
	server := GatewayServer{Gateway: gateway, Server: s}
	if p.TLS != (s.TLS != nil) || !p.TLS && len(p.Servers) > 0 && p.Servers[0].Server.IsHTTP() != s.IsHTTP() {
		c.Report(conflict(s.Origin, p.Servers[0].Server.Origin,
			"a server with another protocol "+s.At()))
		return
	}
	if !p.TLS {
		if s.IsHTTP() {
			server.RouteConfig = "http." + strconv.Itoa(int(port))
			if s.Bind != (ir.Bind{}) {
				server.RouteConfig += "." + url.PathEscape(s.Bind.String()) // hosts are named after a slash
			}
		}
		p.Servers = append(p.Servers, server)
		return
	}
	if s.IsHTTP() {
		server.RouteConfig = strings.Join([]string{
			"https", strconv.Itoa(int(port)), s.PortName, gateway.Name, gateway.Namespace,
		}, ".")
	}
	if p.HTTP3.Port == 0 {
		p.HTTP3 = http3
	}
	server.ServerNames = p.unclaimed(c, &s)
	if len(server.ServerNames) > 0 {
		p.Servers = append(p.Servers, server)
	}
}

// unclaimed is the server names that no older server of the port has: Envoy
// refuses a listener in which two chains match the same name.
func (p *GatewayPort) unclaimed(c *graph.Ctx, s *ir.Server) []string {
	var out []string
	for _, h := range s.Hosts {
		owner := slices.IndexFunc(p.Servers, func(o GatewayServer) bool { return slices.Contains(o.ServerNames, h.Host) })
		switch {
		case owner >= 0:
			c.Report(conflict(s.Origin, p.Servers[owner].Server.Origin, "a server for the host "+h.Host))
		case !slices.Contains(out, h.Host):
			out = append(out, h.Host)
		}
	}
	slices.Sort(out)
	return out
}

// listener is the listener of a port, with the chains whose secrets are there; the
// others are reported and come back with their Secret.
func (m *Model) listener(c *graph.Ctx, key string, class *ir.Class, p *GatewayPort) (*ir.GatewayListener, bool) {
	mesh, ok := m.settings(c)
	if !ok {
		return nil, false
	}
	out := &ir.GatewayListener{
		Port: p.Port, Bind: p.Bind, IPv6: class.IPv6, HTTP3: p.HTTP3, AccessLogFile: mesh.AccessLogFile, Paths: mesh.Paths,
		Edge: class.Topology(mesh), Dialect: class.Speaks(mesh),
		Tokens: has(c, m.verifying, key),
	}
	for i := range p.Servers {
		s := &p.Servers[i]
		if !s.Server.IsHTTP() {
			continue
		}
		if s.Server.TLS == nil {
			if len(out.Chains) == 0 {
				out.Chains = append(out.Chains, ir.GatewayChain{RouteConfig: s.RouteConfig, Origin: s.Server.Origin})
			}
			// Servers of plaintext share a chain: what one of them asks for, the others have.
			out.Chains[0].GRPCWeb = out.Chains[0].GRPCWeb || s.Server.Protocol == ir.ProtocolGRPCWeb
			continue
		}
		tls, ok := m.chainTLS(c, mesh, class.Namespace, &s.Server)
		if !ok {
			continue
		}
		chain := ir.GatewayChain{ServerNames: s.ServerNames, TLS: tls, RouteConfig: s.RouteConfig, Origin: s.Server.Origin}
		if slices.Contains(chain.ServerNames, "*") {
			chain.ServerNames = nil
		}
		out.Chains = append(out.Chains, chain)
	}
	if slices.ContainsFunc(p.Servers, func(s GatewayServer) bool { return !s.Server.IsHTTP() }) {
		out.Streams = m.gatewayStreams(c, mesh, class, p)
	}
	return out, len(out.Chains)+len(out.Streams) > 0
}
