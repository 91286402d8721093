// SPDX-License-Identifier: Apache-2.0

package model

import (
	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// ingressRules is what a Sidecar says of what its sidecars accept.
type ingressRules struct {
	Origin ir.Origin
	Listed bool // only Ports are known, whatever Services say
	Ports  []ir.IngressPort
	Pool   *ir.ConnectionPool // of ports without one of their own
}

// ingressOf is what the Sidecar of a class says of it; nil: nothing.
func (m *Model) ingressOf(c *graph.Ctx, class string) *ingressRules {
	use, ok := m.sidecarOf(c, class)
	if !ok {
		return nil
	}
	out, _ := graph.Get(c, m.ingress, use)
	return out
}

// listedPorts is the ports that a Sidecar lists. TLS ends at them where the mesh's
// mutual TLS is off; elsewhere that is what is spoken, and the Sidecar is told.
func (r *ingressRules) listedPorts(c *graph.Ctx, accepts *accepted) []ir.InboundPort {
	out := make([]ir.InboundPort, 0, len(r.Ports))
	for i := range r.Ports {
		p := &r.Ports[i]
		port := ir.InboundPort{Port: p.Port, Protocol: p.Protocol, Listen: p.Listen, To: p.To, Pool: p.Pool}
		switch {
		case p.TLS == nil:
		case accepts.mode(p.Port) == ir.MTLSDisable:
			port.TLS, port.Protocol = ended(p.TLS), decrypted(p.Protocol)
		default:
			c.Report(ir.Problem{
				Origin: r.Origin, Condition: ir.Accepted, Severity: ir.Warning, Reason: "Unreachable", Field: "spec." + p.Section + ".tls",
				Message: "has no effect at workloads that take the mesh's mutual TLS on the port; set its mode to DISABLE by a PeerAuthentication",
			})
		}
		out = append(out, port)
	}
	return out
}

// ended is TLS as it ends at a proxy, by files of the proxy.
func ended(t *ir.ServerTLS) *ir.ChainTLS {
	out := t.Chain()
	out.Certificates = t.Certificates
	if t.AsksClients() {
		out.CA = t.CA
		out.CA.CRLFile = t.CRLFile
	}
	return out
}

// decrypted is what a port of TLS carries inside of it.
func decrypted(p ir.Protocol) ir.Protocol {
	if p == ir.ProtocolHTTPS {
		return ir.ProtocolHTTP
	}
	return ir.ProtocolTCP
}
