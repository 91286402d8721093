// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshwright/meshwright/internal/ir"
)

var servedGateway = serves(
	"selector",
	"servers[].port.number", "servers[].port.name", "servers[].port.protocol",
	"servers[].hosts", "servers[].name", "servers[].bind",
	"servers[].tls", // all of it
)

// harmless is fields of a server that can be ignored and leave it as safe and as
// narrow as it was meant. Without any other field that is not served, it is not.
var harmless = map[string]bool{
	"servers[].defaultEndpoint": true,
	"servers[].port.targetPort": true,
}

// Gateway projects a networking.istio.io Gateway of any version. The row is nil when
// nothing of the object can be served. See
// https://istio.io/latest/docs/reference/config/networking/gateway/.
func (s Scope) Gateway(meta *metav1.ObjectMeta, text []byte) (*ir.Gateway, []ir.Problem, error) {
	in := &networking.Gateway{}
	if err := decode(text, in); err != nil {
		return nil, nil, err
	}
	g := &gateway{notes: notes{origin: origin(KindGateway, meta)}, namespace: meta.Namespace, left: map[int]bool{}}
	g.findGaps(in)
	out := &ir.Gateway{Origin: g.notes.origin, Created: created(meta), Selector: ir.NewLabels(in.Selector)}
	at := spec.field("servers")
	if len(in.Servers) == 0 {
		g.notes.invalid(at, "must have at least one server")
	}
	before := g.notes.errors()
	names := map[string]int{}
	for i, server := range in.Servers {
		if server == nil {
			continue
		}
		name := server.GetPort().GetName()
		if first, twice := names[name]; twice && name != "" {
			g.notes.invalid(at.index(i).field("port").field("name"), "%q is the name of servers[%d] already; names must differ", name, first)
			continue
		}
		names[name] = i
		if row, ok := g.server(at.index(i), server); ok && !g.left[i] {
			out.Servers = append(out.Servers, row)
		}
	}
	if len(out.Servers) == 0 {
		if len(in.Servers) > 0 && g.notes.errors() == before {
			g.notes.refused(at, "nothing of this object is in effect, as all its servers are left out")
		}
		out = nil
	}
	return out, g.notes.sorted(), nil
}

// gateway is one projection under way.
type gateway struct {
	notes     notes
	namespace string
	left      map[int]bool // servers left out, by index
}

func (g *gateway) findGaps(in *networking.Gateway) {
	for _, gap := range servedGateway.gaps(in.ProtoReflect()) {
		if harmless[gap.pattern] || len(gap.indices) == 0 {
			g.notes.ignored(gap.at)
			continue
		}
		g.left[gap.indices[0]] = true
		g.notes.refused(gap.at, "this server is left out, as it would be less strict without it")
	}
}

// serverProtocols is the protocols that gateways know, and what carries them;
// those that are not served are absent from servedProtocols.
var (
	servedProtocols = map[string]ir.Protocol{
		"HTTP": ir.ProtocolHTTP, "HTTP2": ir.ProtocolHTTP2, "GRPC": ir.ProtocolGRPC,
		"GRPC-WEB": ir.ProtocolGRPCWeb, "HTTPS": ir.ProtocolHTTPS, "TLS": ir.ProtocolTLS,
		"TCP": ir.ProtocolTCP, "MONGO": ir.ProtocolTCP, "MYSQL": ir.ProtocolTCP, "REDIS": ir.ProtocolTCP,
	}
	otherProtocols = map[string]bool{"HTTP_PROXY": true}
)

// server projects one server; ok is false when it is left out.
func (g *gateway) server(at path, in *networking.Server) (out ir.Server, ok bool) {
	out.Hosts = g.hosts(at.field("hosts"), in.Hosts)
	before := g.notes.errors() // those of hosts took with them what they were about
	if in.Port == nil {
		g.notes.invalid(at.field("port"), "is required")
		return out, false
	}
	out.Origin = g.notes.origin
	out.Origin.Section, out.PortName = in.Port.Name, in.Port.Name
	if in.Port.Name == "" {
		g.notes.invalid(at.field("port").field("name"), "must not be empty")
	} else if err := checkLabel(in.Port.Name); err != nil {
		g.notes.invalid(at.field("port").field("name"), "port name %v", err)
	}
	out.Bind = g.bind(at.field("bind"), in.Bind)
	number, valid := portNumber(int64(in.Port.Number))
	switch {
	case out.Bind.Socket != "":
		number = 0 // a socket has none, and manifests must say one
	case !valid:
		g.notes.invalid(at.field("port").field("number"), "port %d must be from 1 to 65535", in.Port.Number)
	}
	out.Port = number
	name := strings.ToUpper(in.Port.Protocol)
	protocol, isServed := servedProtocols[name]
	switch {
	case otherProtocols[name]:
		g.notes.warn(ReasonNotServed, at.field("port").field("protocol"), "not served yet; this server of protocol %s is left out", name)
		return out, false
	case !isServed:
		g.notes.invalid(at.field("port").field("protocol"), "%q is no protocol; use HTTP, HTTPS, HTTP2, GRPC, TCP or TLS", in.Port.Protocol)
		return out, false
	}
	out.Protocol = protocol
	g.serverTLS(at.field("tls"), in.Tls, &out)
	return out, g.notes.errors() == before && len(out.Hosts) > 0
}

// bind projects where a server listens.
func (g *gateway) bind(at path, text string) ir.Bind {
	if socket, ok := strings.CutPrefix(text, "unix://"); ok {
		if err := checkSocket(socket); err != nil {
			g.notes.invalid(at, "%q %v", text, err)
		}
		return ir.Bind{Socket: socket}
	}
	addr, err := netip.ParseAddr(text)
	switch {
	case text == "" || err == nil && addr.IsUnspecified():
		return ir.Bind{}
	case err != nil || addr.Zone() != "":
		g.notes.invalid(at, "%q is no IP address and no Unix socket (unix:///PATH, unix://@NAME)", text)
	}
	return ir.Bind{Addr: addr}
}

// hosts projects [NAMESPACE/]HOST. A bad host is left out; the others are served.
func (g *gateway) hosts(at path, in []string) []ir.ServerHost {
	if len(in) == 0 {
		g.notes.invalid(at, "must have at least one host")
	}
	var out []ir.ServerHost
	for i, text := range in {
		h := ir.ServerHost{Namespace: "*", Host: text}
		if ns, host, ok := strings.Cut(text, "/"); ok {
			h = ir.ServerHost{Namespace: ns, Host: host}
		}
		h.Host = strings.ToLower(h.Host)
		if h.Namespace == "." {
			h.Namespace = g.namespace
		}
		if h.Namespace != "*" {
			if err := checkLabel(h.Namespace); err != nil {
				g.notes.invalid(at.index(i), `namespace %v, or be "*" or "."`, err)
				continue
			}
		}
		if err := checkHost(h.Host); err != nil {
			g.notes.invalid(at.index(i), "host %v", err)
			continue
		}
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b ir.ServerHost) int {
		return cmp.Or(strings.Compare(a.Host, b.Host), strings.Compare(a.Namespace, b.Namespace))
	})
	return slices.Compact(out)
}
