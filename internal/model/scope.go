// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"strings"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// deriveScopes decides what each class is told of what its layers hold. What a
// workload uses is not known here: the sessions learn it from what its proxies ask.
// Where a Sidecar lists hosts, those are told from the start, and nobody may ask.
func (m *Model) deriveScopes(g *graph.Graph) {
	m.Scopes = graph.Derive(g, "scopes", m.Classes.Table(), strings.Compare,
		func(c *graph.Ctx, key string, class *ir.Class, emit func(string, *ir.Scope)) {
			out := &ir.Scope{Layers: m.layers(c, key, class)}
			if class.Role == ir.RoleRouter {
				out.Full = true // a gateway's layers hold only what its routes name
				emit(key, out)
				return
			}
			mesh, ok := m.settings(c)
			if !ok {
				return
			}
			var namespace ir.DiscoveryScope
			if n, ok := graph.Get(c, m.Namespaces.Table(), class.Namespace); ok {
				namespace = n.DiscoveryScope
			}
			out.Full = cmp.Or(class.DiscoveryScope, namespace, mesh.DiscoveryScope) == ir.ScopeFull
			out.Asks = !out.Full
			if s, ok := m.sidecarOf(c, key); ok {
				if hosts, ok := graph.Get(c, m.imported, s); ok {
					out.Full, out.Asks, out.Imports = false, false, *hosts
				}
			}
			emit(key, out)
		})
}
