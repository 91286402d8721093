// SPDX-License-Identifier: Apache-2.0

package listener

import (
	"net/netip"
	"testing"
	"time"

	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/test/golden"
)

const log = "/dev/stdout"

func inbound(mode ir.MTLSMode, ports ...ir.InboundPort) func() golden.Message {
	return func() golden.Message {
		return InboundCapture(&ir.Inbound{
			TrustDomain: "cluster.local", Default: mode, Ports: ports,
			Origins: []ir.Origin{{Kind: "PeerAuthentication", Namespace: "books", Name: "default"}},
		})
	}
}

func ownPort(port uint16, protocol ir.Protocol, to ir.LocalEndpoint) func() golden.Message {
	return func() golden.Message {
		in := &ir.Inbound{TrustDomain: "cluster.local", AccessLogFile: "/dev/stdout", Origins: []ir.Origin{{Kind: "Sidecar", Namespace: "shop", Name: "web"}}}
		return InboundPort(in, &ir.InboundPort{
			Port: port, Protocol: protocol, Mode: ir.MTLSPermissive, Listen: netip.IPv6Unspecified(), To: to,
		})
	}
}

func tcp(addr string, chains ...ir.StreamChain) func() golden.Message {
	return func() golden.Message {
		return OutboundTCP(&ir.TCPOutbound{Addr: netip.MustParseAddrPort(addr), Chains: chains, AccessLogFile: log})
	}
}

func to(subset string, weight uint32) ir.Target {
	return ir.Target{Cluster: ir.ClusterKey{Host: "db.books.svc.cluster.local", Port: 5432, Subset: subset}, Weight: weight}
}

var (
	whole    = ir.StreamChain{Targets: []ir.Target{to("", 100)}}
	names    = ir.StreamChain{ServerNames: []string{"*.example.com"}, Targets: []ir.Target{to("v1", 100)}, Origins: origins}
	parts    = ir.StreamChain{Subnets: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}, Targets: []ir.Target{to("v2", 100)}, Origins: origins}
	services = []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("fd00:96::/112")}
	origins  = []ir.Origin{{Kind: "VirtualService", Namespace: "books", Name: "db", Section: "tls[0]"}}
)

func part(port ir.PortOutbound, streams ...ir.StreamChain) func() golden.Message {
	return func() golden.Message {
		port.Streams = streams
		return OutboundPort(&port)
	}
}

func chain(names []string, tls *ir.ChainTLS) ir.GatewayChain {
	return ir.GatewayChain{
		ServerNames: names, TLS: tls, RouteConfig: "https.8443.https.web.books",
		Origin: ir.Origin{Kind: "Gateway", Namespace: "books", Name: "web", Section: "https"},
	}
}

func certificates(names ...string) []ir.SecretKey {
	var out []ir.SecretKey
	for _, n := range names {
		out = append(out, ir.SecretKey{Kind: ir.SecretCertificate, Credential: n})
	}
	return out
}

func gateway(chains ...ir.GatewayChain) func() golden.Message {
	return func() golden.Message {
		return Gateway(&ir.GatewayListener{Port: 8443, Chains: chains})
	}
}

func gatewayStreams(chains ...ir.StreamChain) func() golden.Message {
	return func() golden.Message {
		return Gateway(&ir.GatewayListener{Port: 8443, Streams: chains})
	}
}

func TestGolden(t *testing.T) {
	port := func(n uint16, p ir.Protocol, m ir.MTLSMode) ir.InboundPort {
		return ir.InboundPort{Port: n, Protocol: p, Mode: m}
	}
	golden.Messages(t, map[string]func() golden.Message{
		"capture":      func() golden.Message { return OutboundCapture(&ir.OutboundCapture{AccessLogFile: log}) },
		"capture-ipv6": func() golden.Message { return BothFamilies(OutboundCapture(&ir.OutboundCapture{Ranges: services})) },
		"port-ipv6":    func() golden.Message { return BothFamilies(OutboundPort(&ir.PortOutbound{Port: 8080, HTTP: true})) },
		"inbound-ipv6": func() golden.Message {
			return InboundCapture(&ir.Inbound{TrustDomain: "cluster.local", Default: ir.MTLSStrict, IPv6: true})
		},
		"inbound-own-port-ipv4": func() golden.Message {
			return InboundPort(&ir.Inbound{TrustDomain: "cluster.local", IPv6: true}, &ir.InboundPort{
				Port: 8443, Protocol: ir.ProtocolTCP, Mode: ir.MTLSStrict, Listen: netip.MustParseAddr("::ffff:0.0.0.0"),
			})
		},
		"gateway-ipv6": func() golden.Message {
			return Gateway(&ir.GatewayListener{Port: 8443, IPv6: true, Chains: []ir.GatewayChain{chain(nil, nil)}})
		},
		"gateway-ipv6-bound": func() golden.Message {
			return Gateway(&ir.GatewayListener{Port: 8443, IPv6: true, Bind: ir.Bind{Addr: netip.MustParseAddr("127.0.0.1")}, Chains: []ir.GatewayChain{chain(nil, nil)}})
		},
		"gateway-socket": func() golden.Message {
			return Gateway(&ir.GatewayListener{IPv6: true, Bind: ir.Bind{Socket: "/run/shop/in.sock"}, Chains: []ir.GatewayChain{chain(nil, nil)}})
		},
		"gateway-socket-name": func() golden.Message {
			return Gateway(&ir.GatewayListener{Bind: ir.Bind{Socket: "@shop"}, Streams: []ir.StreamChain{whole}})
		},
		"gateway-http3-ipv6": func() golden.Message {
			return GatewayHTTP3(&ir.GatewayListener{Port: 8443, IPv6: true, HTTP3: ir.HTTP3Port{Port: 8443, Facing: 443}, Chains: []ir.GatewayChain{
				chain([]string{"a.example.com"}, &ir.ChainTLS{Mode: ir.ServerSimple, Certificates: certificates("shop")}),
			}})
		},
		"capture-registry": func() golden.Message { return OutboundCapture(&ir.OutboundCapture{Unknown: ir.Unknown{Refused: true}}) },
		"capture-proxied": func() golden.Message {
			return OutboundCapture(&ir.OutboundCapture{Unknown: ir.Unknown{Proxy: ir.ClusterKey{Host: "egress.istio-system.svc.cluster.local", Port: 8080}, Origin: ir.Origin{Kind: "Sidecar", Namespace: "books", Name: "default"}}})
		},
		"capture-addresses": func() golden.Message {
			return OutboundCapture(&ir.OutboundCapture{Ranges: services, AccessLogFile: log})
		},
		"pods-addresses": part(ir.PortOutbound{Port: 5432, Pods: true, Bytes: true, Ranges: services}),
		"http": func() golden.Message {
			return OutboundPort(&ir.PortOutbound{Port: 9080, HTTP: true, AccessLogFile: log})
		},
		"http-registry": func() golden.Message {
			return OutboundPort(&ir.PortOutbound{Port: 9080, HTTP: true, Unknown: ir.Unknown{Refused: true}})
		},
		"pods": func() golden.Message { return OutboundPort(&ir.PortOutbound{Port: 5432, Pods: true, Bytes: true}) },
		"pods-and-http": func() golden.Message {
			return OutboundPort(&ir.PortOutbound{Port: 8080, HTTP: true, Pods: true, Bytes: true})
		},
		"pods-http":  func() golden.Message { return OutboundPort(&ir.PortOutbound{Port: 8080, HTTP: true, Pods: true}) },
		"port-names": part(ir.PortOutbound{Port: 443, Unknown: ir.Unknown{Refused: true}}, names),
		"port-parts": part(ir.PortOutbound{Port: 80, HTTP: true, Pods: true}, parts, names),
		"port-rest":  part(ir.PortOutbound{Port: 3306}, names, whole),
		"port-dynamic": part(ir.PortOutbound{Port: 443, Unknown: ir.Unknown{Refused: true}}, ir.StreamChain{
			ServerNames: []string{"*.example.com"}, Origins: origins,
			Targets: []ir.Target{{Cluster: ir.ClusterKey{Host: "*.example.com", Port: 443}, Weight: 100, Dynamic: 8443}},
		}),
		"tcp":      tcp("10.96.0.1:5432", whole),
		"tcp-ipv6": tcp("[fd00::1]:5432", whole),
		"tcp-split": tcp("10.96.0.1:5432", ir.StreamChain{
			Targets: []ir.Target{to("v1", 80), to("v2", 20)}, Origins: origins,
			Stream: ir.Stream{IdleTimeout: time.Minute},
		}),
		"tcp-closed": tcp("10.96.0.1:5432", ir.StreamChain{Origins: origins}),
		"tcp-subnets": tcp("0.0.0.0:5432",
			ir.StreamChain{
				Subnets: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00::/8")},
				Targets: []ir.Target{to("v1", 100)}, Origins: origins,
			}, whole),
		"tls-names": tcp("10.96.0.1:443",
			ir.StreamChain{ServerNames: []string{"*.example.com", "a.example.org"}, Targets: []ir.Target{to("v1", 100)}, Origins: origins},
			ir.StreamChain{ServerNames: []string{"*"}, Targets: []ir.Target{to("v2", 100)}},
			whole),
		"tcp-detected": func() golden.Message {
			return OutboundTCP(&ir.TCPOutbound{
				Addr: netip.MustParseAddrPort("10.96.0.1:7000"), Chains: []ir.StreamChain{whole},
				RouteConfig: ir.HostRouteName("web.books.svc.cluster.local", 7000), Detection: time.Second,
			})
		},
		"inbound-detected": inbound(ir.MTLSStrict, port(7000, ir.ProtocolAuto, ir.MTLSPermissive), port(7001, ir.ProtocolAuto, ir.MTLSStrict)),
		"inbound-permissive": inbound(ir.MTLSPermissive,
			port(8080, ir.ProtocolHTTP, ir.MTLSPermissive), port(8082, ir.ProtocolTCP, ir.MTLSPermissive)),
		"inbound-strict":  inbound(ir.MTLSStrict, port(8080, ir.ProtocolHTTP, ir.MTLSStrict)),
		"inbound-disable": inbound(ir.MTLSDisable, port(8080, ir.ProtocolGRPC, ir.MTLSDisable)),
		"inbound-mixed":   inbound(ir.MTLSStrict, port(8080, ir.ProtocolHTTP, ir.MTLSPermissive), port(8082, ir.ProtocolTCP, ir.MTLSDisable)),
		"inbound-tls": inbound(ir.MTLSDisable,
			ir.InboundPort{Port: 8443, Protocol: ir.ProtocolHTTP, Mode: ir.MTLSDisable, TLS: &ir.ChainTLS{
				Mode: ir.ServerSimple, Certificates: []ir.SecretKey{{Kind: ir.SecretCertificate, File: "/etc/tls/tls.crt", KeyFile: "/etc/tls/tls.key"}},
			}},
			ir.InboundPort{Port: 9443, Protocol: ir.ProtocolTCP, Mode: ir.MTLSDisable, Pool: &ir.ConnectionPool{IdleTimeout: time.Minute}, TLS: &ir.ChainTLS{
				Mode: ir.ServerMutual, Certificates: []ir.SecretKey{{Kind: ir.SecretCertificate, File: "/etc/tls/tls.crt", KeyFile: "/etc/tls/tls.key"}},
				CA: ir.SecretKey{Kind: ir.SecretCA, File: "/etc/tls/ca.crt"},
			}}),
		"egress-http": func() golden.Message {
			return Egress(&ir.EgressListener{EgressPort: ir.EgressPort{Port: 9080, HTTP: true, Socket: "/run/out.sock"}, AccessLogFile: "/dev/stdout"})
		},
		"egress-bytes": func() golden.Message {
			return Egress(&ir.EgressListener{
				EgressPort: ir.EgressPort{Port: 3306, Listen: netip.AddrFrom4([4]byte{127, 0, 0, 1})}, AccessLogFile: "/dev/stdout",
				Chains: []ir.StreamChain{{Targets: []ir.Target{to("", 100)}, Origins: origins}},
			})
		},
		"inbound-own":          ownPort(8080, ir.ProtocolHTTP, ir.LocalEndpoint{Socket: "/run/app.sock"}),
		"inbound-own-bytes":    ownPort(9042, ir.ProtocolTCP, ir.LocalEndpoint{Port: 9043}),
		"gateway-tcp-detected": gatewayStreams(ir.StreamChain{Targets: []ir.Target{to("", 100)}, Detected: true, Origins: origins}),
		"gateway-tcp":          gatewayStreams(ir.StreamChain{Targets: []ir.Target{to("v1", 80), to("v2", 20)}, Origins: origins}),
		"gateway-tls": gatewayStreams(
			ir.StreamChain{ServerNames: []string{"*.local"}, ByName: true, Origins: origins},
			ir.StreamChain{ServerNames: []string{"a.example.com"}, TLS: &ir.ChainTLS{Certificates: certificates("shop")}, Targets: []ir.Target{to("", 100)}, Origins: origins},
			ir.StreamChain{ServerNames: []string{"*"}, Targets: []ir.Target{to("v1", 100)}, Origins: origins},
		),
		"gateway-http": gateway(chain(nil, nil)),
		"gateway-grpc-web": func() golden.Message {
			c := chain(nil, nil)
			c.GRPCWeb = true
			return Gateway(&ir.GatewayListener{Port: 8080, Chains: []ir.GatewayChain{c}, Tokens: true})
		},
		"inbound-grpc-web": func() golden.Message {
			return InboundCapture(&ir.Inbound{TrustDomain: "cluster.local", Default: ir.MTLSStrict, Tokens: true, Ports: []ir.InboundPort{
				{Port: 9080, Protocol: ir.ProtocolGRPCWeb, Mode: ir.MTLSStrict},
			}})
		},
		"gateway-behind-proxies": func() golden.Message {
			return Gateway(&ir.GatewayListener{
				Port: 8080, Chains: []ir.GatewayChain{chain(nil, nil)}, Paths: ir.PathDecodeAndMergeSlashes,
				Edge: ir.EdgeTopology{TrustedProxies: 2, ClientCert: ir.CertForward, ProxyProtocol: true},
			})
		},
		"http-paths-as-is": func() golden.Message {
			return OutboundPort(&ir.PortOutbound{Port: 9080, HTTP: true, Paths: ir.PathAsIs})
		},
		"gateway-tokens": func() golden.Message {
			return Gateway(&ir.GatewayListener{Port: 8443, Chains: []ir.GatewayChain{chain(nil, nil)}, Tokens: true})
		},
		"inbound-tokens": func() golden.Message {
			return InboundCapture(&ir.Inbound{TrustDomain: "cluster.local", Default: ir.MTLSStrict, Tokens: true, Ports: []ir.InboundPort{
				port(8080, ir.ProtocolHTTP, ir.MTLSStrict), port(8082, ir.ProtocolTCP, ir.MTLSStrict),
			}})
		},
		"gateway-https": gateway(
			chain([]string{"shop.example.com"}, &ir.ChainTLS{Certificates: certificates("shop")}),
			ir.GatewayChain{TLS: &ir.ChainTLS{Certificates: certificates("rest", "rest-rsa")}, RouteConfig: "https.8443.rest.web.books", Origin: ir.Origin{Kind: "Gateway", Namespace: "books", Name: "web", Section: "rest"}},
		),
		"gateway-http3": func() golden.Message {
			return GatewayHTTP3(&ir.GatewayListener{Port: 8443, HTTP3: ir.HTTP3Port{Port: 8443, Facing: 443}, Chains: []ir.GatewayChain{
				chain([]string{"shop.example.com"}, &ir.ChainTLS{Certificates: certificates("shop"), MinVersion: "TLSV1_2"}),
				chain([]string{"mutual.example.com"}, &ir.ChainTLS{Mode: ir.ServerMutual, Certificates: certificates("shop"), CA: ir.SecretKey{Kind: ir.SecretCA, Credential: "shop"}}),
				chain([]string{"old.example.com"}, &ir.ChainTLS{Certificates: certificates("shop"), MaxVersion: "TLSV1_2"}),
			}})
		},
		"gateway-dialect": func() golden.Message {
			return Gateway(&ir.GatewayListener{Port: 8080, Chains: []ir.GatewayChain{chain(nil, nil)}, Dialect: ir.Dialect{
				HTTP10: true, PreserveCase: true, Server: "shop", NoRequestID: true, NoEnvoyTimes: true, TellPort: true,
			}})
		},
		"inbound-dialect": func() golden.Message {
			return InboundCapture(&ir.Inbound{
				TrustDomain: "cluster.local", Default: ir.MTLSStrict, Ports: []ir.InboundPort{port(8080, ir.ProtocolHTTP, ir.MTLSStrict)},
				Dialect: ir.Dialect{HTTP10: true, ClientCert: ir.CertSanitize, ClientCertSet: true},
			})
		},
		"inbound-cert-parts": func() golden.Message {
			return InboundCapture(&ir.Inbound{
				TrustDomain: "cluster.local", Default: ir.MTLSStrict, Ports: []ir.InboundPort{port(8080, ir.ProtocolHTTP, ir.MTLSStrict)},
				Dialect: ir.Dialect{CertParts: ir.CertParts{NoSubject: true, NoDNS: true, Chain: true}},
			})
		},
		"gateway-mutual": gateway(chain([]string{"*.example.com"}, &ir.ChainTLS{
			Mode: ir.ServerMutual, Certificates: certificates("shop"), CA: ir.SecretKey{Kind: ir.SecretCA, Credential: "shop"},
			MinVersion: "TLSV1_2", MaxVersion: "TLSV1_3", CipherSuites: []string{"ECDHE-RSA-AES128-GCM-SHA256"},
		})),
		"gateway-optional-mutual": gateway(chain([]string{"*.example.com"}, &ir.ChainTLS{
			Mode: ir.ServerOptionalMutual, Certificates: certificates("shop"), CA: ir.SecretKey{Kind: ir.SecretCA, File: "/etc/tls/ca.crt"},
			Client: ir.ClientCheck{
				Names:  []string{"spiffe://example.com/a"},
				SPKI:   []string{"NvqYIYSbgK2vCJpQhObf77vv+bQWtc5ek5RIOwPiC9A="},
				Hashes: []string{"df6ff72fe9116521268f6f2dd4966f51df479883fe7037b39f75916ac3049d1a"},
				Lax:    true,
			},
		})),
		"gateway-mesh":       gateway(chain([]string{"*.example.com"}, &ir.ChainTLS{Mode: ir.ServerMesh, TrustDomain: "cluster.local"})),
		"gateway-mesh-names": gateway(chain(nil, &ir.ChainTLS{Mode: ir.ServerMesh, TrustDomain: "cluster.local", Client: ir.ClientCheck{Names: []string{"spiffe://cluster.local/ns/a/sa/b"}}})),
	})
}
