// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// deriveOutbound makes the sidecars' listeners and route configurations: one of
// each per HTTP port, whatever the number of hosts, and a listener per address
// of a TCP port.
func (m *Model) deriveOutbound(g *graph.Graph) {
	ports := graph.NewIndex(g, "hosts.byHTTPPort", m.hosts, cmp.Compare[uint16],
		func(_ string, h *ir.Host) []uint16 {
			var out []uint16
			for _, p := range h.Ports {
				if p.Protocol.IsHTTP() {
					out = append(out, p.Port)
				}
			}
			return out
		}).Keys()
	m.RouteConfigs = graph.Derive(g, "routeConfigs", ports, cmp.Compare[uint16],
		func(c *graph.Ctx, port uint16, _ struct{}, emit func(uint16, *ir.RouteConfig)) {
			mesh, ok := m.settings(c)
			if !ok {
				return
			}
			rc := &ir.RouteConfig{Name: ir.OutboundRouteName(port), Fallback: ir.FallbackPassthrough, Hosts: true}
			if mesh.RegistryOnly {
				rc.Fallback = ir.FallbackBlocked
			}
			emit(port, rc)
		})
	m.HTTPListeners = graph.Derive(g, "httpListeners", ports, cmp.Compare[uint16],
		func(c *graph.Ctx, port uint16, _ struct{}, emit func(uint16, *ir.HTTPOutbound)) {
			if mesh, ok := m.settings(c); ok {
				emit(port, &ir.HTTPOutbound{
					Port: port, AccessLogFile: mesh.AccessLogFile, RegistryOnly: mesh.RegistryOnly,
				})
			}
		})
	m.deriveStreams(g)
	m.Captures = graph.Derive(g, "captures", m.Mesh.Table(), One.Compare,
		func(_ *graph.Ctx, _ One, mesh *ir.Mesh, emit func(One, *ir.OutboundCapture)) {
			emit(One{}, &ir.OutboundCapture{RegistryOnly: mesh.RegistryOnly, AccessLogFile: mesh.AccessLogFile})
		})
}
