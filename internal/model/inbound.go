// SPDX-License-Identifier: Apache-2.0

package model

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/ownport"
)

// deriveInbound makes what each class of sidecars accepts.
func (m *Model) deriveInbound(g *graph.Graph) {
	m.Inbounds = graph.Derive(g, "inbounds", m.Classes.Table(), strings.Compare,
		func(c *graph.Ctx, key string, class *ir.Class, emit func(string, *ir.Inbound)) {
			mesh, ok := m.settings(c)
			if !ok || class.Role != ir.RoleSidecar {
				return
			}
			accepts := m.accepts(c, mesh.RootNamespace, class.Namespace, class.Labels)
			out := &ir.Inbound{
				Class:         key,
				TrustDomain:   mesh.TrustDomain,
				Default:       accepts.Default,
				AccessLogFile: mesh.AccessLogFile,
				Paths:         mesh.Paths,
				Tokens:        has(c, m.verifying, key),
				Dialect:       class.Speaks(mesh),
				IPv6:          class.IPv6,
				Origins:       accepts.Origins,
			}
			said := m.ingressOf(c, key)
			if said != nil && said.Listed {
				out.Ports = said.listedPorts(c, &accepts)
			} else {
				m.addKnownPorts(c, out, class, mesh.Detection > 0)
			}
			if said != nil {
				out.Origins = append(slices.Clip(out.Origins), said.Origin)
			}
			for _, p := range accepts.Ports {
				addPort(out, p.Port, ir.ProtocolTCP)
			}
			for i := range out.Ports {
				p := &out.Ports[i]
				p.Mode = accepts.mode(p.Port)
				if class.IPv6 && p.Listen == netip.IPv6Unspecified() {
					p.Listen = ofIPv4
				}
				if p.Pool == nil && said != nil {
					p.Pool = said.Pool
				}
			}
			slices.SortFunc(out.Ports, func(a, b ir.InboundPort) int { return int(a.Port) - int(b.Port) })
			emit(key, out)
		})
}

// ofIPv4 is all addresses of IPv4 in the form of IPv6. A sidecar that captures both
// families has listeners of outbound traffic at the usual forms of all addresses.
var ofIPv4 = netip.AddrFrom16(netip.IPv4Unspecified().As16())

// addKnownPorts adds the ports that Services and ServiceEntries lead to.
func (m *Model) addKnownPorts(c *graph.Ctx, out *ir.Inbound, class *ir.Class, detect bool) {
	own := m.ownPorts(c, class)
	for _, s := range m.selecting(c, class.Namespace, class.Labels) {
		if class.Group != "" {
			addTargets(out, s.Ports, own, detect)
		} else {
			m.addPorts(c, out, s, detect)
		}
	}
	m.addEntryPorts(c, out, class, own)
}

// addPorts adds the ports behind a Service, the first Service by name being first.
func (m *Model) addPorts(c *graph.Ctx, out *ir.Inbound, s *ir.Service, detect bool) {
	targets, ok := graph.Get(c, m.targetPorts, s.Host)
	if !ok {
		return
	}
	for _, t := range targets.Ports {
		for _, p := range s.Ports {
			if p.Port == t.Port && p.Protocol != ir.ProtocolUDP {
				addPort(out, t.Target, carried(p.Protocol, detect))
			}
		}
	}
}

// addEntryPorts adds the ports that ServiceEntries whose selector fits lead to.
func (m *Model) addEntryPorts(c *graph.Ctx, out *ir.Inbound, class *ir.Class, own []ir.SlicePort) {
	if _, selecting := graph.Get(c, m.entrySelectors, class.Namespace); !selecting {
		return
	}
	for _, l := range class.Labels {
		for _, e := range graph.Each(c, m.entriesByPair, namespacePair{Namespace: class.Namespace, Pair: l}) {
			if !class.Labels.Contains(e.Selector) {
				continue
			}
			for _, p := range e.Ports {
				addPort(out, targetOf(&p, own), p.Protocol)
			}
		}
	}
}

// ownPorts is what the group of a machine has in place of the targets of a Service.
func (m *Model) ownPorts(c *graph.Ctx, class *ir.Class) []ir.SlicePort {
	if class.Group == "" {
		return nil
	}
	g, ok := graph.Get(c, m.WorkloadGroups.Table(), ir.ConfigKey{Namespace: class.Namespace, Name: class.Group})
	if !ok {
		return nil
	}
	return g.Template.Ports
}

// addTargets adds the ports behind a Service of a machine, which no EndpointSlice has.
func addTargets(out *ir.Inbound, ports []ir.ServicePort, own []ir.SlicePort, detect bool) {
	for _, p := range ports {
		if p.Protocol != ir.ProtocolUDP {
			addPort(out, targetOf(&p, own), carried(p.Protocol, detect))
		}
	}
}

// addPort adds a port, unless it is there: the first protocol is believed. But a port
// that is gRPC for one Service and gRPC-Web for another takes both. A port at which the
// proxy gets what is captured is none of the application's: handed on, a connection would
// come back for ever.
func addPort(out *ir.Inbound, port uint16, protocol ir.Protocol) {
	if ownport.Captures(port) {
		return
	}
	i := slices.IndexFunc(out.Ports, func(p ir.InboundPort) bool { return p.Port == port })
	switch {
	case i < 0:
		out.Ports = append(out.Ports, ir.InboundPort{Port: port, Protocol: protocol})
	case protocol == ir.ProtocolGRPCWeb && out.Ports[i].Protocol.IsHTTP2():
		out.Ports[i].Protocol = protocol
	}
}
