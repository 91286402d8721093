// SPDX-License-Identifier: Apache-2.0

package model

import (
	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// Clients call what nobody knows. What becomes of that is said by the mesh, and by a
// Sidecar for its own workloads: the listeners and the hosts for all the rest are then
// there once more, in the layer of the Sidecar.

// unknownOf is what a Sidecar says of unknown traffic, where the mesh says otherwise.
func (m *Model) unknownOf(c *graph.Ctx, k sidecarUse, _ struct{}, emit func(sidecarUse, ir.Unknown)) {
	s, ok := graph.Get(c, m.Sidecars.Table(), k.Sidecar)
	if !ok || s.Unknown == nil {
		return
	}
	said := *s.Unknown
	said.Origin = ir.Origin{}
	if mesh, ok := m.settings(c); ok && said != outsideOf(mesh) {
		emit(k, *s.Unknown)
	}
}

func outsideOf(mesh *ir.Mesh) ir.Unknown {
	return ir.Unknown{Refused: mesh.RegistryOnly, Dynamic: mesh.DynamicDNS}
}

// unknownFor is what becomes of unknown traffic of a viewer.
func (m *Model) unknownFor(c *graph.Ctx, mesh *ir.Mesh, by viewer) ir.Unknown {
	use := by.use()
	if by.class != "" {
		use, _ = m.sidecarOf(c, by.class)
	}
	if use != (sidecarUse{}) {
		if said, ok := graph.Get(c, m.unknowns, use); ok {
			return said
		}
	}
	return outsideOf(mesh)
}

// deriveRests makes the hosts for all the rest where a Sidecar says otherwise what
// they do.
func (m *Model) deriveRests(g *graph.Graph, ports *graph.Table[PortKey, struct{}]) {
	m.Rests = graph.Derive(g, "rests", m.portsOfSidecars(g, "rests", ports), PortKey.Compare,
		func(c *graph.Ctx, k PortKey, _ struct{}, emit func(PortKey, *ir.RouteConfig)) {
			mesh, ok := m.settings(c)
			if by, held := m.viewerOf(c, k.Layer); ok && held {
				emit(k, &ir.RouteConfig{Name: ir.OutboundRouteName(k.Port), Port: k.Port, Unknown: m.unknownFor(c, mesh, by)})
			}
		})
}

// portsOfSidecars is those of the ports that the sidecars have which hold to a Sidecar
// that says what becomes of unknown traffic, in the layer of the Sidecar.
func (m *Model) portsOfSidecars(g *graph.Graph, name string, ports *graph.Table[PortKey, struct{}]) *graph.Table[PortKey, struct{}] {
	byLayer := graph.NewIndex(g, name+".ports", ports, ir.Layer.Compare, func(k PortKey, _ struct{}) []ir.Layer { return []ir.Layer{k.Layer} })
	return graph.Derive(g, name+".sidecars", m.unknowns, PortKey.Compare,
		func(c *graph.Ctx, k sidecarUse, _ ir.Unknown, emit func(PortKey, struct{})) {
			seen := map[uint16]bool{}
			for _, layer := range []ir.Layer{ir.LayerMesh, ir.NamespaceLayer(k.Namespace)} {
				for p := range graph.Each(c, byLayer, layer) {
					if !seen[p.Port] {
						seen[p.Port] = true
						emit(PortKey{k.layer(), p.Port}, struct{}{})
					}
				}
			}
		})
}

// deriveCaptures makes the listeners that get everything: everybody's, and those of
// Sidecars that say otherwise what becomes of it.
func (m *Model) deriveCaptures(g *graph.Graph) {
	everybody := graph.Derive(g, "captures.mesh", m.Mesh.Table(), ir.Layer.Compare,
		func(_ *graph.Ctx, _ One, mesh *ir.Mesh, emit func(ir.Layer, struct{})) {
			emit(ir.LayerSidecar, struct{}{})
		})
	sidecars := graph.NewIndex(g, "captures.sidecars", m.unknowns, ir.Layer.Compare,
		func(k sidecarUse, _ ir.Unknown) []ir.Layer { return []ir.Layer{k.layer()} }).Keys()
	m.Captures = graph.Derive(g, "captures", graph.Union(g, "captures.layers", ir.Layer.Compare, everybody, sidecars), ir.Layer.Compare,
		func(c *graph.Ctx, l ir.Layer, _ struct{}, emit func(ir.Layer, *ir.OutboundCapture)) {
			mesh, ok := m.settings(c)
			if by, held := m.viewerOf(c, l); ok && held {
				ranges, _ := graph.Get(c, m.ranges, One{})
				emit(l, &ir.OutboundCapture{Ranges: ranges, Unknown: m.unknownFor(c, mesh, by), AccessLogFile: mesh.AccessLogFile})
			}
		})
}
