// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/meshwright/meshwright/internal/ir"
)

// unknown reads what becomes of traffic that nobody knows; nil when nothing is said
// that can be understood. A policy without a mode refuses, as in Istio.
func (s Scope) unknown(n *notes, namespace string, in *networking.OutboundTrafficPolicy) *ir.Unknown {
	at := spec.field("outboundTrafficPolicy")
	if in == nil {
		return nil
	}
	switch in.Mode {
	case networking.OutboundTrafficPolicy_REGISTRY_ONLY:
		if in.EgressProxy != nil {
			n.invalid(at.field("egressProxy"), "needs mode ALLOW_ANY: with REGISTRY_ONLY nothing unknown goes anywhere")
		}
		return &ir.Unknown{Refused: true, Origin: n.origin}
	case networking.OutboundTrafficPolicy_ALLOW_ANY:
	default:
		n.invalid(at.field("mode"), "%d is no mode", in.Mode)
		return nil
	}
	out := &ir.Unknown{Origin: n.origin}
	if p := in.EgressProxy; p != nil {
		to := s.egressProxy(n, at.field("egressProxy"), namespace, p)
		if to == (ir.ClusterKey{}) {
			return &ir.Unknown{Refused: true, Origin: n.origin} // it must not go around the proxy that it was meant for
		}
		out.Proxy = to
	}
	return out
}

func (s Scope) egressProxy(n *notes, at path, namespace string, in *networking.Destination) ir.ClusterKey {
	before := n.errors()
	host := s.resolve(in.Host, namespace)
	if err := checkHost(host); err != nil {
		n.invalid(at.field("host"), "%v", err)
	} else if strings.HasPrefix(host, "*") {
		n.invalid(at.field("host"), "%q must be one host", in.Host)
	}
	port := in.GetPort().GetNumber()
	if port < 1 || port > 65535 {
		n.invalid(at.field("port").field("number"), "port %d must be from 1 to 65535", port)
	}
	if n.errors() > before {
		return ir.ClusterKey{}
	}
	return ir.ClusterKey{Host: host, Port: uint16(port), Subset: in.Subset}
}
