// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"net/netip"
	"testing"
	"time"

	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/test/golden"
)

func outbound(edit func(*ir.OutboundCluster)) func() golden.Message {
	return func() golden.Message {
		in := &ir.OutboundCluster{
			Key:      ir.ClusterKey{Host: "reviews.books.svc.cluster.local", Port: 9080},
			Protocol: ir.ProtocolHTTP, TrustDomain: "cluster.local",
		}
		edit(in)
		return Outbound(in)
	}
}

var defaults = ir.ClientDefaults{
	RetryBudget: &ir.RetryBudget{Percent: 5, MinConcurrency: 2}, ConnectTimeout: 3 * time.Second,
	Keepalive: &ir.Keepalive{Time: time.Minute}, Upgrade: true,
}

// dynamically is the cluster of names that clients ask for.
func dynamically(change func(*ir.OutboundCluster)) func() golden.Message {
	return outbound(func(in *ir.OutboundCluster) {
		in.Key, in.Discovery, in.External = ir.ClusterKey{Host: "*.example.com", Port: 443}, ir.DiscoverDynamic, true
		change(in)
	})
}

func balanced(b ir.Balance) func() golden.Message {
	return outbound(func(in *ir.OutboundCluster) { in.Settings.LoadBalancer.Balance = b })
}

func secured(t ir.ClientTLS, protocol ir.Protocol) func() golden.Message {
	return outbound(func(in *ir.OutboundCluster) { in.Settings.TLS, in.Protocol = &t, protocol })
}

func named(names ...string) *ir.Assignment {
	out := &ir.Assignment{
		Cluster:    ir.ClusterKey{Host: "reviews.books.svc.cluster.local", Port: 9080},
		Localities: []ir.LocalityEndpoints{{}},
	}
	for _, n := range names {
		out.Localities[0].Endpoints = append(out.Localities[0].Endpoints, ir.Endpoint{Name: n, Port: 5432})
	}
	return out
}

func TestGolden(t *testing.T) {
	golden.Messages(t, map[string]func() golden.Message{
		"http": outbound(func(*ir.OutboundCluster) {}),
		"keys": func() golden.Message {
			return Keys(&ir.KeysSource{Host: "issuer.example.com", Port: 443, TLS: true, Timeout: 5 * time.Second})
		},
		"keys-plaintext": func() golden.Message {
			return Keys(&ir.KeysSource{Host: "192.0.2.1", Port: 8080, Timeout: time.Second})
		},
		"grpc":           outbound(func(in *ir.OutboundCluster) { in.Protocol = ir.ProtocolGRPC }),
		"tcp":            outbound(func(in *ir.OutboundCluster) { in.Protocol = ir.ProtocolTCP }),
		"http-keep-case": outbound(func(in *ir.OutboundCluster) { in.KeepCase = true }),
		"subset": outbound(func(in *ir.OutboundCluster) {
			in.Key.Subset = "v1"
			in.Identities = []string{"spiffe://cluster.local/ns/books/sa/a", "spiffe://cluster.local/ns/books/sa/b"}
			in.Origins = []ir.Origin{{Kind: "DestinationRule", Namespace: "books", Name: "reviews"}}
		}),
		"dns": outbound(func(in *ir.OutboundCluster) { in.Discovery, in.Alias = ir.DiscoverDNS, "search.example.com" }),
		"dns-tls": outbound(func(in *ir.OutboundCluster) {
			in.Discovery, in.Alias = ir.DiscoverDNS, "search.example.com"
			in.Settings.TLS = &ir.ClientTLS{Mode: ir.TLSSimple, SNI: "search.example.com", SubjectAltNames: []string{"search.example.com"}}
		}),
		"sticky": outbound(func(in *ir.OutboundCluster) { in.Sticky = true }),
		"shares": outbound(func(in *ir.OutboundCluster) { in.Weighted = true }),
		"zones":  outbound(func(in *ir.OutboundCluster) { in.Zones = &ir.Zones{Least: 6} }),
		"zones-warmup": outbound(func(in *ir.OutboundCluster) {
			in.Zones, in.Settings.LoadBalancer = &ir.Zones{Least: 1}, ir.LoadBalancer{
				Balance: ir.BalanceRoundRobin, Warmup: time.Minute, WarmupPercent: 20, WarmupAggression: 1.5,
			}
		}),
		"zones-random": outbound(func(in *ir.OutboundCluster) {
			in.Zones, in.Settings.LoadBalancer.Balance = &ir.Zones{Least: 2}, ir.BalanceRandom
		}),
		"zones-hash": outbound(func(in *ir.OutboundCluster) {
			in.Zones, in.Settings.LoadBalancer = &ir.Zones{Least: 2}, ir.LoadBalancer{Balance: ir.BalanceHashSourceIP}
		}),
		"dns-endpoints": outbound(func(in *ir.OutboundCluster) {
			in.Discovery, in.Endpoints = ir.DiscoverDNS, named("db-1.example.com", "db-2.example.com")
			in.External, in.Protocol = true, ir.ProtocolTCP
		}),
		"dns-logical": outbound(func(in *ir.OutboundCluster) {
			in.Discovery, in.Endpoints, in.External = ir.DiscoverDNSLogical, named("api.example.com"), true
			in.Settings.TLS, in.SubjectAltNames = &ir.ClientTLS{Mode: ir.TLSSimple}, []string{"api.example.com"}
		}),
		"dns-meshed": outbound(func(in *ir.OutboundCluster) {
			in.Discovery, in.Endpoints = ir.DiscoverDNS, named("vm.example.com")
			in.Endpoints.Localities[0].Endpoints[0].TLS = true
			in.Identities, in.SubjectAltNames = []string{"spiffe://cluster.local/ns/a/sa/b"}, []string{"spiffe://other/ns/a/sa/b"}
		}),
		"original-dst-port": outbound(func(in *ir.OutboundCluster) { in.Discovery, in.PodPort = ir.DiscoverOriginalDst, 8443 }),
		"dynamic":           dynamically(func(*ir.OutboundCluster) {}),
		"dynamic-tls":       dynamically(func(in *ir.OutboundCluster) { in.Settings.TLS = &ir.ClientTLS{Mode: ir.TLSSimple} }),
		"dynamic-tls-named": dynamically(func(in *ir.OutboundCluster) {
			in.Settings.TLS = &ir.ClientTLS{Mode: ir.TLSSimple, SNI: "edge.example.com", SubjectAltNames: []string{"edge.example.com"}}
		}),
		"dynamic-tls-mesh": dynamically(func(in *ir.OutboundCluster) { in.Settings.TLS = &ir.ClientTLS{Mode: ir.TLSMesh} }),
		"dynamic-any":      func() golden.Message { return Dynamic() },
		"dynamic-bytes":    dynamically(func(in *ir.OutboundCluster) { in.Protocol = ir.ProtocolTLS }),
		"external":         outbound(func(in *ir.OutboundCluster) { in.External = true }),
		"original-dst":     outbound(func(in *ir.OutboundCluster) { in.Discovery = ir.DiscoverOriginalDst }),
		"pods": outbound(func(in *ir.OutboundCluster) {
			in.Key, in.Protocol = ir.ClusterKey{Host: "db.books.svc.cluster.local", Port: 5432}.Pods(), ir.ProtocolTCP
			in.Discovery, in.PodPort = ir.DiscoverPod, 5433
			in.Identities = []string{"spiffe://cluster.local/ns/books/sa/db"}
		}),
		"pods-tls-disable": outbound(func(in *ir.OutboundCluster) {
			in.Discovery, in.Settings.TLS = ir.DiscoverPod, &ir.ClientTLS{Mode: ir.TLSDisable}
		}),
		"round-robin":    balanced(ir.BalanceRoundRobin),
		"random":         balanced(ir.BalanceRandom),
		"hash":           balanced(ir.BalanceHashHeader),
		"lb-passthrough": balanced(ir.BalancePassthrough),
		"tls-disable":    secured(ir.ClientTLS{Mode: ir.TLSDisable}, ir.ProtocolHTTP),
		"tls-mesh":       secured(ir.ClientTLS{Mode: ir.TLSMesh}, ir.ProtocolHTTP),
		"tls-mesh-named": secured(ir.ClientTLS{
			Mode: ir.TLSMesh, SNI: "door.example.com", SubjectAltNames: []string{"spiffe://cluster.local/ns/edge/sa/door"},
		}, ir.ProtocolHTTP),
		"tls-named":       secured(ir.ClientTLS{Mode: ir.TLSSimple, SNI: "a.example.com", SubjectAltNames: []string{"a.example.com"}}, ir.ProtocolHTTP),
		"tls-crl":         secured(ir.ClientTLS{Mode: ir.TLSSimple, CRL: "/etc/certs/list.pem"}, ir.ProtocolTCP),
		"tls-simple-h2":   secured(ir.ClientTLS{Mode: ir.TLSSimple}, ir.ProtocolHTTP2),
		"tls-skip-verify": secured(ir.ClientTLS{Mode: ir.TLSSimple, InsecureSkipVerify: true}, ir.ProtocolHTTP),
		"tls-mutual": secured(ir.ClientTLS{
			Mode: ir.TLSMutual, ClientCertificate: "/etc/certs/cert.pem", PrivateKey: "/etc/certs/key.pem", CACertificates: "/etc/certs/root.pem",
		}, ir.ProtocolHTTP),
		"tls-secret": outbound(func(in *ir.OutboundCluster) {
			in.Settings.TLS = &ir.ClientTLS{Mode: ir.TLSMutual, Credential: "shop", SubjectAltNames: []string{"a.example.com"}}
			in.Secrets = &ir.ClientSecrets{
				Certificate: ir.SecretKey{Kind: ir.SecretCertificate, Credential: "shop"},
				CA:          ir.SecretKey{Kind: ir.SecretCA, Credential: "shop-cacert"},
			}
		}),
		"tls-secret-missing": outbound(func(in *ir.OutboundCluster) {
			in.Settings.TLS = &ir.ClientTLS{Mode: ir.TLSSimple, Credential: "shop"}
			in.Secrets = &ir.ClientSecrets{Missing: true}
		}),
		"tls-secret-of-others": secured(ir.ClientTLS{Mode: ir.TLSMutual, Credential: "shop"}, ir.ProtocolHTTP),
		"defaults":             outbound(func(in *ir.OutboundCluster) { in.Defaults = defaults }),
		"defaults-outside":     outbound(func(in *ir.OutboundCluster) { in.Defaults, in.External = defaults, true }),
		"defaults-over": outbound(func(in *ir.OutboundCluster) {
			in.Defaults = defaults
			in.Settings.Pool = &ir.ConnectionPool{ConnectTimeout: time.Second, Keepalive: &ir.Keepalive{Probes: 9}, AsDeclared: true, MaxRetries: 4}
		}),
		"detected": outbound(func(in *ir.OutboundCluster) { in.Protocol, in.Detected = ir.ProtocolAuto, true }),
		"detected-tls": outbound(func(in *ir.OutboundCluster) {
			in.Protocol, in.Detected, in.Settings.TLS = ir.ProtocolAuto, true, &ir.ClientTLS{Mode: ir.TLSSimple}
		}),
		"detected-mesh": outbound(func(in *ir.OutboundCluster) {
			in.Protocol, in.Detected, in.Settings.TLS = ir.ProtocolAuto, true, &ir.ClientTLS{Mode: ir.TLSMesh}
		}),
		"detected-pods": outbound(func(in *ir.OutboundCluster) {
			in.Protocol, in.Detected, in.Discovery = ir.ProtocolAuto, true, ir.DiscoverPod
		}),
		"detected-gateway": outbound(func(in *ir.OutboundCluster) { in.Detected = true }),
		"as": func() golden.Message {
			return As(&ir.OutboundCluster{
				Key:      ir.ClusterKey{Host: "db.books.svc.cluster.local", Port: 5432},
				Protocol: ir.ProtocolTCP, TrustDomain: "cluster.local",
			}, "[fd00:96::7]:5432")
		},
		"unknown":          func() golden.Message { return Unknown("cluster.local", false) },
		"unknown-registry": func() golden.Message { return Unknown("cluster.local", true) },
		"inbound-detected": func() golden.Message {
			return Inbound(&ir.InboundPort{Port: 7000, Protocol: ir.ProtocolAuto}, false, false)
		},
		"inbound-http": func() golden.Message {
			return Inbound(&ir.InboundPort{Port: 8080, Protocol: ir.ProtocolHTTP}, false, false)
		},
		"inbound-grpc": func() golden.Message {
			return Inbound(&ir.InboundPort{Port: 8081, Protocol: ir.ProtocolGRPC}, false, false)
		},
		"inbound-tcp": func() golden.Message {
			return Inbound(&ir.InboundPort{Port: 8082, Protocol: ir.ProtocolTCP}, false, false)
		},
		"inbound-socket": func() golden.Message {
			return Inbound(&ir.InboundPort{Port: 80, Protocol: ir.ProtocolHTTP, To: ir.LocalEndpoint{Socket: "/run/app.sock"}}, false, false)
		},
		"inbound-loopback": func() golden.Message {
			return Inbound(&ir.InboundPort{Port: 80, Protocol: ir.ProtocolTCP, To: ir.LocalEndpoint{Addr: netip.MustParseAddr("::1"), Port: 8080}}, false, true)
		},
		"inbound-other-port": func() golden.Message {
			return Inbound(&ir.InboundPort{
				Port: 80, Protocol: ir.ProtocolHTTP, To: ir.LocalEndpoint{Port: 8080},
				Pool: &ir.ConnectionPool{MaxConnections: 7, ConnectTimeout: time.Second, MaxPendingRequests: 5, MaxRequestsPerConnection: 1, HTTPIdleTimeout: time.Minute},
			}, false, true)
		},
		"inbound-passthrough":      func() golden.Message { return InboundPassthrough(false) },
		"inbound-passthrough-ipv6": func() golden.Message { return InboundPassthrough(true) },
		"passthrough":              func() golden.Message { return Passthrough("cluster.local") },
		"black-hole":               func() golden.Message { return BlackHole() },
	})
}
