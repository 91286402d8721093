// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/ownport"
)

// egressPort reads for which port hosts are listed, 0 for all, and where sidecars listen
// themselves; ok is false where they do not, or what is said of it is in error.
func egressPort(n *notes, at path, in *networking.IstioEgressListener) (out ir.EgressPort, ok bool) {
	before := n.errors()
	port, number, protocol := in.GetPort(), at.field("port").field("number"), at.field("port").field("protocol")
	if port == nil {
		const why = "needs port: the sidecar listens for hosts at that port"
		if in.GetBind() != "" {
			n.invalid(at.field("bind"), why)
		}
		if in.GetCaptureMode() == networking.CaptureMode_NONE {
			n.invalid(at.field("captureMode"), why)
		}
		return out, false
	}
	var valid bool
	if out.Port, valid = portNumber(int64(port.Number)); !valid {
		n.invalid(number, "port %d must be from 1 to 65535", port.Number)
	}
	what, known := servedProtocols[strings.ToUpper(port.Protocol)]
	if !known {
		n.invalid(protocol, "%q is no protocol; use HTTP, HTTPS, HTTP2, GRPC, TCP or TLS", port.Protocol)
	}
	out.HTTP = what.IsHTTP()
	own := egressBind(n, at, in, &out)
	if own && out.Socket == "" && ownport.Is(out.Port) {
		n.invalid(number, "port %d is the sidecar's own", out.Port)
	}
	return out, own && n.errors() == before
}

// egressBind reads the address of a listener; own is false when it has none but those of
// the hosts.
func egressBind(n *notes, at path, in *networking.IstioEgressListener, out *ir.EgressPort) (own bool) {
	none := in.GetCaptureMode() == networking.CaptureMode_NONE
	if socket, ok := strings.CutPrefix(in.GetBind(), "unix://"); ok {
		if in.GetCaptureMode() == networking.CaptureMode_IPTABLES {
			n.invalid(at.field("captureMode"), "must be NONE or DEFAULT: nothing captures what comes to a Unix socket")
		}
		if err := checkSocket(socket); err != nil {
			n.invalid(at.field("bind"), "%q %v", in.GetBind(), err)
		}
		out.Socket = socket
		return true
	}
	switch bind, err := netip.ParseAddr(in.GetBind()); {
	case in.GetBind() == "" && !none:
		return false
	case in.GetBind() == "":
		out.Listen = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case err != nil || bind.Zone() != "":
		n.invalid(at.field("bind"), "%q is neither an IP address nor unix://PATH", in.GetBind())
	case !none:
		n.warn(ReasonUnreachable, at.field("bind"), "has no effect on what is captured; with captureMode NONE the sidecar listens there")
		return false
	case bind.IsUnspecified():
		n.invalid(at.field("bind"), "%q would let others in: name an address such as 127.0.0.1", in.GetBind())
	default:
		out.Listen = bind
	}
	return true
}

// addEgress adds the hosts that an entry of a Sidecar lists, and its listener. Those of a
// port in error are told with all of their ports.
func addEgress(n *notes, at path, index int, l *networking.IstioEgressListener, hosts ir.HostList, out *ir.Sidecar) {
	p, ok := egressPort(n, at, l)
	switch {
	case len(hosts.Imports) == 0:
	case p.Port == 0:
		addHosts(&out.HostList, hosts)
	default:
		i, known := slices.BinarySearchFunc(out.Ports, p.Port, func(p ir.PortHosts, port uint16) int { return cmp.Compare(p.Port, port) })
		if !known {
			out.Ports = slices.Insert(out.Ports, i, ir.PortHosts{Port: p.Port})
		}
		addHosts(&out.Ports[i].HostList, hosts)
	}
	if !ok {
		return
	}
	p.Section, p.Hosts = fmt.Sprintf("egress[%d]", index), hosts.Imports
	switch {
	case slices.ContainsFunc(out.Egress, func(o ir.EgressPort) bool { return o.At() == p.At() }):
		n.invalid(at.field("port").field("number"), "another listener is at the same place")
	case len(out.Egress) == maxIngress:
		n.invalid(at, "is more than the %d listeners that a Sidecar can have", maxIngress)
	default:
		out.Egress = append(out.Egress, p)
	}
}

// completePorts leaves out the ports for which just the hosts are listed that are told
// there without it.
func completePorts(s *ir.Sidecar) {
	s.Ports = slices.DeleteFunc(s.Ports, func(p ir.PortHosts) bool {
		return p.All == s.All && slices.Equal(p.Imports, s.Imports)
	})
	if len(s.Ports) == 0 {
		s.Ports = nil
	}
}
