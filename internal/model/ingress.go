// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// ingressTables is what Ingresses of Kubernetes are turned into: a Gateway for each,
// and routes for each host of all of them.
type ingressTables struct {
	ingressGateways *graph.Table[ir.ConfigKey, *ir.Gateway]
	ingressRoutes   *graph.Table[ir.ConfigKey, *ir.Routes]

	// IngressPoints is where the clients of an Ingress find it.
	IngressPoints *graph.Table[ir.ConfigKey, *ir.Allocated]
}

// ingressKey is a key that no Gateway and no VirtualService can have.
func ingressKey(namespace, name string) ir.ConfigKey {
	return ir.ConfigKey{Namespace: namespace, Name: "ingress~" + name}
}

func (m *Model) deriveIngresses(g *graph.Graph) {
	taken := graph.Derive(g, "ingressesTaken", m.Ingresses.Table(), ir.ConfigKey.Compare,
		func(c *graph.Ctx, k ir.ConfigKey, in *ir.Ingress, emit func(ir.ConfigKey, *ir.Ingress)) {
			if mesh, ok := m.settings(c); ok && m.takesIngress(c, &mesh.Ingress, in) {
				emit(k, in)
			}
		})
	m.ingressGateways = graph.Derive(g, "ingressGateways", taken, ir.ConfigKey.Compare,
		func(c *graph.Ctx, k ir.ConfigKey, in *ir.Ingress, emit func(ir.ConfigKey, *ir.Gateway)) {
			if mesh, ok := m.settings(c); ok {
				emit(ingressKey(k.Namespace, k.Name), ingressGateway(in, mesh.Ingress.Selector))
			}
		})
	byHost := graph.NewIndex(g, "ingressesTaken.byHost", taken, strings.Compare,
		func(_ ir.ConfigKey, in *ir.Ingress) []string {
			var out []string
			for i := range in.Hosts {
				out = append(out, in.Hosts[i].Host)
			}
			if in.Default != nil && !slices.Contains(out, "*") {
				out = append(out, "*")
			}
			return out
		})
	m.ingressRoutes = graph.Derive(g, "ingressRoutes", byHost.Keys(), ir.ConfigKey.Compare,
		func(c *graph.Ctx, host string, _ struct{}, emit func(ir.ConfigKey, *ir.Routes)) {
			emit(ingressKey("", host), m.routesOfIngresses(c, host, graph.Lookup(c, byHost, host)))
		})
	m.IngressPoints = graph.Derive(g, "ingressPoints", taken, ir.ConfigKey.Compare,
		func(c *graph.Ctx, k ir.ConfigKey, _ *ir.Ingress, emit func(ir.ConfigKey, *ir.Allocated)) {
			mesh, ok := m.settings(c)
			if !ok {
				return
			}
			at, out := mesh.Ingress.Service, &ir.Allocated{}
			if s, ok := graph.Get(c, m.Services.Table(), ir.ObjectKey{Cluster: mesh.ClusterID, Namespace: at.Namespace, Name: at.Name}); ok {
				out.Addresses = s.Outside
			}
			emit(k, out) // without an address, too: it is served
		})
}

// takesIngress tells whether an Ingress is for this mesh.
func (m *Model) takesIngress(c *graph.Ctx, set *ir.IngressSettings, in *ir.Ingress) bool {
	switch {
	case set.Mode == ir.IngressOff:
		return false
	case in.Annotated:
		return in.Class == set.Class
	case in.Class != "":
		class, ok := graph.Get(c, m.IngressClasses.Table(), in.Class)
		return ok && class.Ours
	}
	return set.Mode == ir.IngressAll
}

// ingressGateway is the servers of an Ingress: requests in plaintext for whatever
// host there are routes for, and those for its certificates.
func ingressGateway(in *ir.Ingress, selector ir.Labels) *ir.Gateway {
	server := func(name string, port uint16, protocol ir.Protocol, hosts ...string) ir.Server {
		s := ir.Server{Origin: in.Origin, PortName: name, Port: port, Protocol: protocol}
		for _, h := range hosts {
			s.Hosts = append(s.Hosts, ir.ServerHost{Namespace: "*", Host: h})
		}
		return s
	}
	out := &ir.Gateway{
		Origin: in.Origin, Created: in.Created, Selector: selector,
		Servers: []ir.Server{server("http", 80, ir.ProtocolHTTP, "*")},
	}
	for i := range in.TLS {
		s := server("tls-"+in.TLS[i].Secret, 443, ir.ProtocolHTTPS, in.TLS[i].Hosts...)
		s.TLS = &ir.ServerTLS{
			Mode: ir.ServerSimple, Certificates: []ir.SecretKey{{Kind: ir.SecretCertificate, Credential: in.TLS[i].Secret}},
		}
		out.Servers = append(out.Servers, s)
	}
	return out
}

// routesOfIngresses joins what Ingresses say of one host. An exact path goes before a
// prefix, a longer one before a shorter one, then the older Ingress; what none of
// them takes goes to their default backends.
func (m *Model) routesOfIngresses(c *graph.Ctx, host string, rows []graph.Row[ir.ConfigKey, *ir.Ingress]) *ir.Routes {
	slices.SortFunc(rows, func(a, b graph.Row[ir.ConfigKey, *ir.Ingress]) int {
		return ir.Precedence(a.Value.Created, a.Value.Origin, b.Value.Created, b.Value.Origin)
	})
	out := &ir.Routes{
		Origin: rows[0].Value.Origin, Created: rows[0].Value.Created, Hosts: []string{host}, ExportTo: ir.Visibility{All: true},
	}
	var paths, rest []ir.IngressRule
	for _, row := range rows {
		in := row.Value
		out.Gateways = append(out.Gateways, ingressKey(row.Key.Namespace, row.Key.Name))
		for i := range in.Hosts {
			if in.Hosts[i].Host == host {
				paths = append(paths, in.Hosts[i].Rules...)
			}
		}
		if in.Default != nil {
			rest = append(rest, *in.Default)
		}
	}
	slices.SortFunc(out.Gateways, ir.ConfigKey.Compare)
	slices.SortStableFunc(paths, func(a, b ir.IngressRule) int {
		if a.Exact != b.Exact {
			if a.Exact {
				return -1
			}
			return 1
		}
		return cmp.Compare(len(b.Path), len(a.Path))
	})
	for _, r := range append(paths, rest...) {
		out.HTTP = append(out.HTTP, m.ingressRule(c, r))
	}
	return out
}

// ingressRule finds the port that a rule names. Requests to a name that the Service
// does not have are answered 503, as those to a Service that does not exist are.
func (m *Model) ingressRule(c *graph.Ctx, in ir.IngressRule) ir.Rule {
	rule := in.Rule
	if in.PortName == "" || len(rule.Destinations) == 0 {
		return rule
	}
	to := rule.Destinations[0]
	rule.Destinations = nil
	if h, ok := m.host(c, rule.Origin.Namespace, to.Host); ok {
		for _, p := range h.Ports {
			if p.Name == in.PortName {
				to.Port = p.Port
				rule.Destinations = []ir.Destination{to}
				return rule
			}
		}
	}
	rule.Direct = &ir.Direct{Status: http.StatusServiceUnavailable}
	return rule
}
