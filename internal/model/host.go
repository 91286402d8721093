// SPDX-License-Identifier: Apache-2.0

package model

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

func (m *Model) deriveHosts(g *graph.Graph) {
	m.servicesByHost = graph.NewIndex(g, "services.byHost", m.Services.Table(), strings.Compare,
		func(_ ir.ObjectKey, s *ir.Service) []string { return []string{s.Host} })
	m.byPair = graph.NewIndex(g, "services.bySelector", m.Services.Table(), namespacePair.Compare,
		func(k ir.ObjectKey, s *ir.Service) []namespacePair {
			if len(s.Selector) == 0 {
				return nil
			}
			return []namespacePair{{Namespace: k.Namespace, Pair: s.Selector[0]}}
		})
	m.serviceHosts = graph.Derive(g, "serviceHosts", m.servicesByHost.Keys(), strings.Compare,
		func(c *graph.Ctx, name string, _ struct{}, emit func(string, *definition)) {
			if mesh, ok := m.settings(c); ok {
				emit(name, mergeHost(name, graph.Lookup(c, m.servicesByHost, name), mesh.Detection > 0))
			}
		})
	sticky := graph.NewIndex(g, "services.sticky", m.Services.Table(), strings.Compare,
		func(_ ir.ObjectKey, s *ir.Service) []string {
			if s.Session == nil {
				return nil
			}
			return []string{s.Host}
		})
	m.sessions = graph.Derive(g, "sessions", sticky.Keys(), strings.Compare,
		func(c *graph.Ctx, host string, _ struct{}, emit func(string, *ir.Session)) {
			// As in mergeHost, the first of the clusters is believed.
			if s := graph.Lookup(c, m.servicesByHost, host)[0].Value; s.Session != nil {
				emit(host, s.Session)
			}
		})
	m.deriveViews(g, m.servicesByHost.Keys())
}

// mergeHost joins the Services of the same name in all clusters. Where they
// disagree, the first in the order of the keys is believed.
func mergeHost(name string, rows []graph.Row[ir.ObjectKey, *ir.Service], detect bool) *definition {
	h := &ir.Host{Name: name, Origin: ir.Origin{Kind: kindService}}
	d := &definition{Host: h, ExportTo: ir.Visibility{All: true}}
	for i, row := range rows {
		s := row.Value
		if i == 0 {
			h.Namespace, h.Headless, h.Alias, h.Near, h.Sticky = s.Key.Namespace, s.Headless, s.ExternalName, s.Near, s.Session != nil
			h.IPv6First = s.IPv6First
			h.Origin.Namespace, h.Origin.Name, h.Created = s.Key.Namespace, s.Key.Name, s.Created
			if s.ExportTo != nil {
				d.ExportTo = *s.ExportTo
			}
		}
		h.VIPs = append(h.VIPs, s.VIPs...)
		for _, p := range s.Ports {
			if _, known := h.Port(p.Port); known || p.Protocol == ir.ProtocolUDP {
				continue
			}
			if !s.Headless {
				p.Target = 0 // of no interest to those who call the Service's address
			}
			p.Protocol = carried(p.Protocol, detect)
			h.Ports = append(h.Ports, p)
		}
	}
	slices.SortFunc(h.VIPs, netip.Addr.Compare)
	h.VIPs = slices.Compact(h.VIPs)
	if len(h.VIPs) == 0 && !h.Headless { // an alias: nobody connects to it
		for i := range h.Ports {
			h.Ports[i].Protocol = carried(h.Ports[i].Protocol, false)
		}
	}
	slices.SortFunc(h.Ports, func(a, b ir.ServicePort) int { return int(a.Port) - int(b.Port) })
	return d
}

// carried is what a port is taken to carry where protocols are detected, or not.
func carried(p ir.Protocol, detect bool) ir.Protocol {
	if p == ir.ProtocolAuto && !detect {
		return ir.ProtocolTCP
	}
	return p
}

// wildcards is the patterns that cover a name, most specific first:
// *.b.c, *.c and * for a.b.c.
func wildcards(name string) []string {
	out := make([]string, 0, strings.Count(name, ".")+1)
	for rest := name; ; {
		_, tail, ok := strings.Cut(rest, ".")
		if !ok {
			return append(out, "*")
		}
		out = append(out, "*."+tail)
		rest = tail
	}
}

// namespacePair is a namespace and one label of a selector; whoever has the label
// may match the selector.
type namespacePair struct {
	Namespace string
	Pair      ir.Label
}

func (k namespacePair) Compare(o namespacePair) int {
	if c := strings.Compare(k.Namespace, o.Namespace); c != 0 {
		return c
	}
	return comparePair(k.Pair, o.Pair)
}

func comparePair(a, b ir.Label) int {
	if c := strings.Compare(a.Key, b.Key); c != 0 {
		return c
	}
	return strings.Compare(a.Value, b.Value)
}

// selecting is the Services whose selector fits a workload's labels, by key.
func (m *Model) selecting(c *graph.Ctx, namespace string, labels ir.Labels) []*ir.Service {
	var out []*ir.Service
	for _, l := range labels {
		for _, s := range graph.Each(c, m.byPair, namespacePair{Namespace: namespace, Pair: l}) {
			if labels.Contains(s.Selector) {
				out = append(out, s)
			}
		}
	}
	slices.SortFunc(out, func(a, b *ir.Service) int { return a.Key.Compare(b.Key) })
	return out
}
