// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/ownport"
)

// maxIngress bounds the ports of a Sidecar, each of which has several filter chains.
const maxIngress = 100

// maxSocketPath is the longest path of a Unix socket that Linux takes. See unix(7).
const maxSocketPath = 107

// inboundRules reads what the sidecars accept. A port in error is left out: then it is one
// of those that nobody lists, which applications get as bytes.
func inboundRules(n *notes, in *networking.Sidecar, out *ir.Sidecar) {
	out.Pool = inboundPool(n, spec.field("inboundConnectionPool"), in.GetInboundConnectionPool())
	out.ListsIngress = len(in.GetIngress()) > 0
	for i, l := range in.GetIngress() {
		at := spec.field("ingress").index(i)
		if i == maxIngress {
			n.invalid(at, "is more than the %d ports that a Sidecar can list", maxIngress)
			break
		}
		before := n.errors()
		p := ingressPort(n, at, l)
		p.Section = fmt.Sprintf("ingress[%d]", i)
		if slices.ContainsFunc(out.Ingress, func(o ir.IngressPort) bool { return o.Port == p.Port }) {
			n.invalid(at.field("port").field("number"), "port %d is listed twice", p.Port)
		}
		if n.errors() == before {
			out.Ingress = append(out.Ingress, p)
		}
	}
	slices.SortFunc(out.Ingress, func(a, b ir.IngressPort) int { return int(a.Port) - int(b.Port) })
}

func ingressPort(n *notes, at path, in *networking.IstioIngressListener) ir.IngressPort {
	number, ok := portNumber(int64(in.GetPort().GetNumber()))
	if !ok {
		n.invalid(at.field("port").field("number"), "port %d must be from 1 to 65535", in.GetPort().GetNumber())
	} else if ownport.Is(number) {
		n.invalid(at.field("port").field("number"), "port %d is the sidecar's own", number)
	}
	protocol, ok := servedProtocols[strings.ToUpper(in.GetPort().GetProtocol())]
	if !ok {
		n.invalid(at.field("port").field("protocol"), "%q is no protocol; use HTTP, HTTPS, HTTP2, GRPC, TCP or TLS", in.GetPort().GetProtocol())
	}
	out := ir.IngressPort{Port: number, Protocol: protocol}
	var err error
	if out.To, err = localEndpoint(in.GetDefaultEndpoint()); err != nil {
		n.invalid(at.field("defaultEndpoint"), "%q %v", in.GetDefaultEndpoint(), err)
	}
	ownSocket(n, at, in, &out)
	out.Pool = inboundPool(n, at.field("connectionPool"), in.GetConnectionPool())
	if out.Pool != nil && in.ConnectionPool.Http != nil && !protocol.IsHTTP() && (in.Tls == nil || protocol != ir.ProtocolHTTPS) {
		n.warn(ReasonUnreachable, at.field("connectionPool").field("http"), "has no effect on a port that carries bytes")
	}
	if in.GetTls() != nil {
		out.TLS = ingressTLS(n, at.field("tls"), protocol, in.Tls)
	}
	return out
}

// ownSocket reads where the sidecar listens itself. It must be said: the pod's address is
// not known here, and a listener of all addresses is also found by what the application
// sends to any address with that port.
func ownSocket(n *notes, at path, in *networking.IstioIngressListener, out *ir.IngressPort) {
	bind, err := netip.ParseAddr(in.GetBind())
	switch own := in.GetCaptureMode() == networking.CaptureMode_NONE; {
	case in.GetBind() == "" && own:
		n.warn(ReasonUnreachable, at.field("captureMode"), "has no effect without bind, and the port is served as it is captured; bind to an address of the workload, or, where nothing is captured, to 0.0.0.0")
		return
	case in.GetBind() == "":
		return
	case err != nil || bind.Zone() != "":
		n.invalid(at.field("bind"), "%q is no IP address", in.GetBind())
		return
	case !own:
		n.warn(ReasonUnreachable, at.field("bind"), "has no effect on a port that is captured; with captureMode NONE the sidecar listens there")
		return
	}
	if out.Listen = bind; bind.IsUnspecified() {
		out.Listen = netip.IPv6Unspecified() // and IPv4 by it: 0.0.0.0 is what listeners of outbound traffic have
	}
	to := out.To
	same := to.Port == 0 || to.Port == out.Port
	if to.IsCalled() && same || to.Addr.IsValid() && same && (bind.IsUnspecified() || bind == to.Addr) {
		n.invalid(at.field("defaultEndpoint"), "%q leads back to the sidecar, which takes this port itself with captureMode NONE; name another port of the application", in.GetDefaultEndpoint())
	}
}

// localEndpoint reads where the application is.
func localEndpoint(text string) (out ir.LocalEndpoint, err error) {
	if text == "" {
		return out, nil
	}
	if socket, ok := strings.CutPrefix(text, "unix://"); ok {
		if err := checkSocket(socket); err != nil {
			return out, err
		}
		return ir.LocalEndpoint{Socket: socket}, nil
	}
	host, port, ok := cutLast(text, ":")
	number, parseErr := strconv.ParseUint(port, 10, 16)
	if !ok || parseErr != nil || number == 0 {
		return out, fmt.Errorf("must end with a port from 1 to 65535")
	}
	if out.Port = uint16(number); ownport.Is(out.Port) {
		return out, fmt.Errorf("is a port of the sidecar's own")
	}
	switch host {
	case "0.0.0.0", "[::]": // the address that was called
	case "127.0.0.1", "":
		out.Addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case "[::1]":
		out.Addr = netip.IPv6Loopback()
	default:
		return out, fmt.Errorf("must be 127.0.0.1:PORT, [::1]:PORT, 0.0.0.0:PORT, [::]:PORT or unix://PATH")
	}
	return out, nil
}

// checkSocket checks the path of a Unix socket, or its name after an @.
func checkSocket(socket string) error {
	name, abstract := strings.CutPrefix(socket, "@")
	switch {
	case len(socket) > maxSocketPath:
		return fmt.Errorf("is longer than the %d bytes that a socket's path may have", maxSocketPath)
	case ownsPath(socket):
		return fmt.Errorf("is where the sidecar and the system have files of their own")
	case strings.ContainsRune(socket, 0), abstract && name == "", !abstract && (!filepath.IsAbs(socket) || filepath.Clean(socket) != socket):
		return fmt.Errorf("must be unix:// and an absolute path, or @ and a name")
	}
	return nil
}

// ownsPath tells whether a path is where nobody may be let in from outside: the socket at
// which the sidecar's key is served is there, and what leads to it by other names.
func ownsPath(path string) bool {
	return slices.ContainsFunc([]string{"/var/run/meshwright", "/run/meshwright", "/proc", "/sys", "/dev"}, func(dir string) bool {
		return path == dir || strings.HasPrefix(path, dir+"/")
	})
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func inboundPool(n *notes, at path, in *networking.ConnectionPoolSettings) *ir.ConnectionPool {
	d := &destinationRule{notes: *n}
	defer n.join(&d.notes)
	return d.connectionPool(at, in)
}

// ingressTLS reads TLS that ends at the sidecar, with files that are in it.
func ingressTLS(n *notes, at path, protocol ir.Protocol, in *networking.ServerTLSSettings) *ir.ServerTLS {
	for _, g := range servedIngressTLS.gaps(in.ProtoReflect()) {
		n.refused(at+path(strings.TrimPrefix(string(g.at), string(spec))), "this port counts as one that is not listed; name files with serverCertificate, privateKey and caCertificates")
	}
	if !protocol.IsTLS() {
		n.invalid(at, "is for protocols HTTPS and TLS only")
	}
	mode, ok := serverModes[in.Mode]
	if !ok || mode == ir.ServerMesh {
		n.invalid(at.field("mode"), "must be SIMPLE, MUTUAL or OPTIONAL_MUTUAL")
		return nil
	}
	if in.ServerCertificate == "" && in.PrivateKey == "" {
		n.invalid(at.field("serverCertificate"), "is required: the path of a file in the sidecar")
		return nil
	}
	g := &gateway{notes: *n}
	defer n.join(&g.notes)
	return g.termination(at, in, mode)
}

var servedIngressTLS = serves("mode", "serverCertificate", "privateKey", "caCertificates", "caCrl",
	"minProtocolVersion", "maxProtocolVersion", "cipherSuites", "verifyCertificateSpki", "verifyCertificateHash")
