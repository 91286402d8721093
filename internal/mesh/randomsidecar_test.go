// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"net/netip"
	"time"

	"github.com/meshwright/meshwright/internal/ir"
)

func (x *chaos) sidecar(k ir.ConfigKey) *ir.Sidecar {
	s := &ir.Sidecar{Origin: ir.Origin{Kind: "Sidecar", Namespace: k.Namespace, Name: k.Name}, Created: int64(x.r.IntN(3))}
	if x.r.IntN(2) == 0 {
		s.Selector = x.labels()
	}
	pattern := func() ir.HostPattern {
		return ir.HostPattern{
			Namespace: pick(x.r, append([]string{"", ir.OwnNamespace}, chaosNamespaces...)...),
			Host:      pick(x.r, "*", x.host(), "*.apps.svc.cluster.local", "*.example.com"),
		}
	}
	list := func() (out ir.HostList) {
		out.All = x.r.IntN(4) == 0
		for range x.r.IntN(3) {
			out.Imports = append(out.Imports, pattern())
		}
		return out
	}
	s.HostList = list()
	for _, port := range []uint16{80, 3306} {
		if x.r.IntN(3) == 0 {
			s.Ports = append(s.Ports, ir.PortHosts{Port: port, HostList: list()})
		}
	}
	if x.r.IntN(3) == 0 {
		s.Excludes = append(s.Excludes, pattern())
	}
	x.doors(s)
	for i, p := range []ir.EgressPort{{Port: 80, HTTP: true}, {Port: 3306}, {Port: 9000, Socket: "/run/out"}} {
		if x.r.IntN(3) == 0 {
			if p.Section = "egress[0]"; p.Socket == "" {
				p.Listen = netip.AddrFrom4([4]byte{127, 0, 0, byte(1 + i)})
			}
			p.Hosts = []ir.HostPattern{pick(x.r, pattern(), ir.HostPattern{Host: "*"})}
			s.Egress = append(s.Egress, p)
		}
	}
	if s.Unknown = x.unknown(); s.Unknown != nil {
		s.Unknown.Origin = s.Origin
	}
	return s
}

func (x *chaos) doors(s *ir.Sidecar) {
	s.Pool = pick(x.r, nil, nil, &ir.ConnectionPool{MaxConnections: 1 + x.r.Uint32N(3)})
	if s.ListsIngress = x.r.IntN(3) == 0; !s.ListsIngress {
		return
	}
	for _, port := range []uint16{80, 8000, 8443} {
		if x.r.IntN(2) == 0 {
			continue
		}
		p := ir.IngressPort{Port: port, Protocol: pick(x.r, ir.ProtocolHTTP, ir.ProtocolTCP, ir.ProtocolHTTPS), Section: "ingress[0]"}
		p.To = pick(x.r, ir.LocalEndpoint{}, ir.LocalEndpoint{Port: 8080}, ir.LocalEndpoint{Socket: "/run/app"}, ir.LocalEndpoint{Addr: netip.IPv6Loopback(), Port: 81})
		p.Pool = pick(x.r, nil, &ir.ConnectionPool{IdleTimeout: time.Minute})
		p.Listen = pick(x.r, netip.Addr{}, netip.Addr{}, netip.IPv6Unspecified())
		if p.Protocol == ir.ProtocolHTTPS {
			p.TLS = &ir.ServerTLS{Mode: pick(x.r, ir.ServerSimple, ir.ServerMutual), Certificates: []ir.SecretKey{{Kind: ir.SecretCertificate, File: "/c", KeyFile: "/k"}}}
			p.TLS.CA = ir.SecretKey{Kind: ir.SecretCA, File: "/ca"}
		}
		s.Ingress = append(s.Ingress, p)
	}
}

func (x *chaos) unknown() *ir.Unknown {
	return pick(x.r, nil, nil, &ir.Unknown{}, &ir.Unknown{Refused: true}, &ir.Unknown{Proxy: ir.ClusterKey{Host: x.host(), Port: 80, Subset: pick(x.r, "", "v1")}})
}
