// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// http3Ports is where HTTP/3 is spoken, by the port of HTTPS beside it: where the
// gateway's Service has a port of UDP of the same number. Without one no client could
// get there, and there is no other use for one, so that nothing else need say so. Nobody
// writes the client's address before a packet of UDP, so gateways that must be told
// it in this way have none.
func (m *Model) http3Ports(c *graph.Ctx, class *ir.Class) map[uint16]ir.HTTP3Port {
	mesh, ok := m.settings(c)
	if !ok || class.Topology(mesh).ProxyProtocol {
		return nil
	}
	out := map[uint16]ir.HTTP3Port{}
	for _, s := range m.selecting(c, class.Namespace, class.Labels) {
		tcp := map[uint16]uint16{}
		for _, p := range s.Ports {
			if p.Protocol != ir.ProtocolUDP {
				tcp[p.Port] = p.Target
			}
		}
		for _, p := range s.Ports {
			target, beside := tcp[p.Port]
			if _, known := out[p.Port]; known || !beside || p.Protocol != ir.ProtocolUDP {
				continue
			}
			// A name for the port in the pods counts as the number that is said for TCP.
			out[p.Port] = ir.HTTP3Port{Port: cmp.Or(p.Target, target, p.Port), Facing: p.Port}
		}
	}
	return out
}

// partHTTP3 leaves each port of UDP to one port of HTTPS.
func (v *GatewayView) partHTTP3() {
	type socket struct {
		bind ir.Bind
		port uint16
	}
	taken := map[socket]bool{}
	for i := range v.Ports {
		p := &v.Ports[i]
		at := socket{p.Bind, p.HTTP3.Port}
		if taken[at] {
			p.HTTP3 = ir.HTTP3Port{}
			continue
		}
		taken[at] = at.port != 0
	}
}
