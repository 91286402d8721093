// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// PortKey is a port that applications connect to, whatever the address, in a layer.
type PortKey struct {
	Layer ir.Layer
	Port  uint16
}

// Compare orders by layer, then port.
func (k PortKey) Compare(o PortKey) int {
	return cmp.Or(cmp.Compare(k.Layer, o.Layer), cmp.Compare(k.Port, o.Port))
}

// deriveOutbound makes the sidecars' listeners and route configurations: one of
// each per HTTP port, whatever the number of hosts, and a listener per address
// of a TCP port. A port that only hosts of one namespace have is of that
// namespace's layer: elsewhere its bytes are nobody's business.
func (m *Model) deriveOutbound(g *graph.Graph) {
	ports := graph.NewIndex(g, "hosts.byHTTPPort", m.hosts, PortKey.Compare,
		func(k scopeHost, h *ir.Host) []PortKey {
			var out []PortKey
			for _, p := range h.Ports {
				if p.Protocol.IsHTTP() {
					out = append(out, PortKey{scopeLayer(k.Scope), p.Port})
				}
			}
			return out
		}).Keys()
	// needed tells whether a layer must have its own: those of the mesh serve all.
	needed := func(c *graph.Ctx, k PortKey) bool {
		if k.Layer == ir.LayerMesh {
			return true
		}
		_, shared := graph.Get(c, ports, PortKey{ir.LayerMesh, k.Port})
		return !shared && m.IsHeld(c, k.Layer)
	}
	m.RouteConfigs = graph.Derive(g, "routeConfigs", ports, PortKey.Compare,
		func(c *graph.Ctx, k PortKey, _ struct{}, emit func(PortKey, *ir.RouteConfig)) {
			mesh, ok := m.settings(c)
			if !ok || !needed(c, k) {
				return
			}
			rc := &ir.RouteConfig{Name: ir.OutboundRouteName(k.Port), Fallback: ir.FallbackPassthrough, Hosts: true}
			if mesh.RegistryOnly {
				rc.Fallback = ir.FallbackBlocked
			}
			emit(k, rc)
		})
	m.HTTPListeners = graph.Derive(g, "httpListeners", ports, PortKey.Compare,
		func(c *graph.Ctx, k PortKey, _ struct{}, emit func(PortKey, *ir.HTTPOutbound)) {
			if mesh, ok := m.settings(c); ok && needed(c, k) {
				emit(k, &ir.HTTPOutbound{
					Port: k.Port, AccessLogFile: mesh.AccessLogFile, RegistryOnly: mesh.RegistryOnly,
				})
			}
		})
	m.deriveStreams(g)
	m.Captures = graph.Derive(g, "captures", m.Mesh.Table(), One.Compare,
		func(_ *graph.Ctx, _ One, mesh *ir.Mesh, emit func(One, *ir.OutboundCapture)) {
			emit(One{}, &ir.OutboundCapture{RegistryOnly: mesh.RegistryOnly, AccessLogFile: mesh.AccessLogFile})
		})
}
