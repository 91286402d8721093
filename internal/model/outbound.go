// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"reflect"

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

// shared is the port in everybody's layer.
func (k PortKey) shared() PortKey { return PortKey{ir.LayerMesh, k.Port} }

// deriveOutbound makes the sidecars' listeners and route configurations: one of
// each per port, whatever the number of hosts, and a listener per address of a
// TCP port. A port that only hosts of one namespace have is of that namespace's
// layer: elsewhere its bytes are nobody's business.
func (m *Model) deriveOutbound(g *graph.Graph) {
	uses := m.derivePortUses(g)
	m.RouteConfigs = graph.Derive(g, "routeConfigs", uses.http, PortKey.Compare,
		func(c *graph.Ctx, k PortKey, _ struct{}, emit func(PortKey, *ir.RouteConfig)) {
			mesh, ok := m.settings(c)
			if !ok || !m.IsHeld(c, k.Layer) || k.Layer != ir.LayerMesh && has(c, uses.http, k.shared()) {
				return
			}
			emit(k, &ir.RouteConfig{Name: ir.OutboundRouteName(k.Port), Port: k.Port, Unknown: outsideOf(mesh)})
		})
	m.deriveRests(g, uses.http)
	m.deriveStreams(g, uses.http)
	shared := graph.Union(g, "ports.shared", PortKey.Compare, uses.all, m.partedPorts)
	ports := graph.Union(g, "ports", PortKey.Compare, shared, m.portsOfSidecars(g, "ports", shared))
	m.PortListeners = graph.Derive(g, "portListeners", ports, PortKey.Compare,
		func(c *graph.Ctx, k PortKey, _ struct{}, emit func(PortKey, *ir.PortOutbound)) {
			mesh, ok := m.settings(c)
			by, held := m.viewerOf(c, k.Layer)
			if !ok || !held {
				return
			}
			out := m.portOutbound(c, uses, mesh, by, k.Port)
			hidden := &ir.PortOutbound{} // what this view would hide
			if by != (viewer{}) {
				hidden = m.portOutbound(c, uses, mesh, m.below(c, by), k.Port)
			}
			if !reflect.DeepEqual(out, hidden) {
				emit(k, out)
			}
		})
	m.derivePodPorts(g, uses.pods)
	m.deriveCaptures(g)
}

// portOutbound is a port's listener, as somebody sees it.
func (m *Model) portOutbound(c *graph.Ctx, uses portUses, mesh *ir.Mesh, by viewer, port uint16) *ir.PortOutbound {
	var use portUse
	for _, v := range m.lineage(c, by) {
		one := uses.of(c, PortKey{v.layer(), port})
		use = portUse{use.HTTP || one.HTTP, use.Pods || one.Pods, use.Bytes || one.Bytes}
	}
	return &ir.PortOutbound{
		Port: port, HTTP: use.HTTP, Pods: use.Pods, Bytes: use.Bytes, Streams: m.portChains(c, by, port), Ranges: m.rangesAt(c, port),
		AccessLogFile: mesh.AccessLogFile, Unknown: m.unknownFor(c, mesh, by), Paths: mesh.Paths, Detection: mesh.Detection,
		Dialect: mesh.Dialect,
	}
}
