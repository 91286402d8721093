// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// EgressKey is where the sidecars of a class listen themselves.
type EgressKey struct {
	Class string
	At    string
}

// Compare orders by class, then place.
func (k EgressKey) Compare(o EgressKey) int {
	return cmp.Or(strings.Compare(k.Class, o.Class), strings.Compare(k.At, o.At))
}

// egressRules is where a Sidecar has sidecars listen, with the hosts whose bytes go there.
type egressRules struct {
	Origin ir.Origin
	Ports  []ir.EgressPort
	Hosts  []string // of each port; empty: it is of requests
}

// deriveEgress makes the listeners at which applications call their sidecars on purpose.
func (m *Model) deriveEgress(g *graph.Graph) {
	rules := graph.Derive(g, "sidecars.egress", m.used, sidecarUse.Compare, m.egressOf)
	m.EgressListeners = graph.Derive(g, "egressListeners", m.chosen, EgressKey.Compare,
		func(c *graph.Ctx, class string, use sidecarUse, emit func(EgressKey, *ir.EgressListener)) {
			said, ok := graph.Get(c, rules, use)
			if !ok {
				return
			}
			mesh, ok := m.settings(c)
			if !ok {
				return
			}
			for i := range said.Ports {
				p := &said.Ports[i]
				out := &ir.EgressListener{EgressPort: *p, Origin: said.Origin, AccessLogFile: mesh.AccessLogFile}
				out.Hosts, out.Section = nil, "" // of the listener they are no part
				if p.HTTP {
					out.Paths, out.Dialect = mesh.Paths, mesh.Dialect
				} else {
					out.Chains = m.egressChains(c, said.Hosts[i], p.Port, viewer{namespace: use.Namespace, class: class})
				}
				emit(EgressKey{class, p.At()}, out)
			}
		})
}

// egressOf is what a Sidecar says of listeners, but for those to which no host belongs.
func (m *Model) egressOf(c *graph.Ctx, k sidecarUse, _ struct{}, emit func(sidecarUse, *egressRules)) {
	s, ok := graph.Get(c, m.Sidecars.Table(), k.Sidecar)
	mesh, known := m.settings(c)
	if !ok || !known || len(s.Egress) == 0 {
		return
	}
	out := &egressRules{Origin: s.Origin}
	for i := range s.Egress {
		p := &s.Egress[i]
		host := ""
		if p.HTTP {
			ok = m.hasRequests(c, k.Namespace, p.Port)
		} else {
			host, ok = m.streamHost(c, k.Namespace, s, p, mesh)
		}
		if !ok {
			c.Report(unresolved(s.Origin, "HostNotFound", "spec."+p.Section, "no host that is listed here has a port "+strconv.Itoa(int(p.Port))+
				" of this kind; correct hosts or port; the sidecars do not listen until one has"))
			continue
		}
		out.Ports, out.Hosts = append(out.Ports, *p), append(out.Hosts, host)
	}
	if len(out.Ports) > 0 {
		emit(k, out)
	}
}

// hasRequests tells whether the sidecars of a namespace route requests at a port.
func (m *Model) hasRequests(c *graph.Ctx, namespace string, port uint16) bool {
	for _, l := range []ir.Layer{ir.LayerMesh, ir.NamespaceLayer(namespace)} {
		if _, ok := graph.Get(c, m.RouteConfigs, PortKey{l, port}); ok {
			return true
		}
	}
	return false
}

// streamHost is the host to which bytes go: the first by name of those listed that carry
// some at the port.
func (m *Model) streamHost(c *graph.Ctx, namespace string, s *ir.Sidecar, p *ir.EgressPort, mesh *ir.Mesh) (string, bool) {
	var out []string
	for _, name := range m.listedHosts(c, namespace, inNamespace(p.Hosts, namespace, mesh), inNamespace(s.Excludes, namespace, mesh)) {
		h, ok := m.host(c, namespace, name)
		if !ok {
			continue
		}
		port, ok := h.Port(p.Port)
		switch {
		case !ok || port.Protocol.IsHTTP():
		case port.Entry != nil && (port.Entry.Resolution == ir.ResolveNone || port.Entry.Resolution == ir.ResolveDynamic):
			c.Report(unresolved(s.Origin, "Unreachable", "spec."+p.Section+".hosts", name+
				" is found by what is called, which here is the sidecar; give its ServiceEntry another resolution"))
		default:
			out = append(out, name)
		}
	}
	if len(out) == 0 {
		return "", false
	}
	if len(out) > 1 {
		p := unresolved(s.Origin, "Ambiguous", "spec."+p.Section+".hosts", "bytes do not say whom they are for, and "+out[0]+
			" gets all of them; leave out "+out[1]+" and the like")
		p.Severity = ir.Warning
		c.Report(p)
	}
	return out[0], true
}

// egressChains is the rules for a host's port, as somebody sees it.
func (m *Model) egressChains(c *graph.Ctx, host string, port uint16, by viewer) []ir.StreamChain {
	h, ok := m.host(c, by.namespace, host)
	if !ok {
		return nil
	}
	p, ok := h.Port(port)
	if !ok {
		return nil
	}
	return streamChains(m.streamRules(c, h, p, rulesOf(c, m.streamRoutes, host).seenBy(c, m, by, port), by))
}
