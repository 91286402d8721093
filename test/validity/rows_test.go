//go:build integration

// SPDX-License-Identifier: Apache-2.0

package validity

import (
	"net/netip"
	"time"

	"github.com/meshwright/meshwright/internal/ir"
)

func object(name string) ir.ObjectKey {
	return ir.ObjectKey{Cluster: "east", Namespace: "apps", Name: name}
}

func fqdn(name string) string { return name + ".apps.svc.cluster.local" }

func services() map[ir.ObjectKey]*ir.Service {
	ports := []ir.ServicePort{
		{Name: "http", Port: 80, Protocol: ir.ProtocolHTTP},
		{Name: "grpc", Port: 81, Protocol: ir.ProtocolGRPC},
		{Name: "tcp", Port: 82, Protocol: ir.ProtocolTCP},
		{Name: "tls", Port: 83, Protocol: ir.ProtocolTLS},
	}
	out := map[ir.ObjectKey]*ir.Service{}
	for i, name := range []string{"a", "b", "c", "d"} {
		out[object(name)] = &ir.Service{
			Key: object(name), Host: fqdn(name), Ports: ports, Selector: ir.Labels{{Key: "app", Value: name}},
			VIPs: []netip.Addr{address(byte(i + 1))},
		}
	}
	out[object("b")].VIPs = append(out[object("b")].VIPs, netip.MustParseAddr("fd00::1"))
	out[object("headless")] = &ir.Service{Key: object("headless"), Host: fqdn("headless"), Headless: true, Ports: ports}
	out[object("alias")] = &ir.Service{Key: object("alias"), Host: fqdn("alias"), ExternalName: "example.com", Ports: ports}
	return out
}

func endpointSlices() map[ir.ObjectKey]*ir.EndpointSlice {
	return map[ir.ObjectKey]*ir.EndpointSlice{object("a-1"): {
		Key: object("a-1"), Service: object("a"),
		Ports:     []ir.SlicePort{{Name: "http", Port: 8080}, {Name: "grpc", Port: 8081}, {Name: "tcp", Port: 8082}, {Name: "tls", Port: 8083}},
		Endpoints: []ir.SliceEndpoint{{Addr: address(100), Ready: true}, {Addr: netip.MustParseAddr("fd00::2"), Ready: true}},
	}}
}

func routes() *ir.Routes {
	origin := ir.Origin{Kind: "VirtualService", Namespace: "apps", Name: "r"}
	to := func(name, subset string, weight uint32) ir.Destination {
		return ir.Destination{Host: fqdn(name), Port: 80, Subset: subset, Weight: weight}
	}
	text := func(kind ir.StringKind, v string) ir.StringMatch { return ir.StringMatch{Kind: kind, Value: v} }
	path := func(kind ir.StringKind, v string, ignoreCase bool) ir.Match {
		m := text(kind, v)
		return ir.Match{Path: &m, PathIgnoreCase: ignoreCase}
	}
	return &ir.Routes{
		Origin: origin, Hosts: []string{fqdn("a"), "shop.example.com"}, Mesh: true,
		Gateways: []ir.ConfigKey{{Namespace: "apps", Name: "g"}}, ExportTo: ir.Visibility{All: true},
		HTTP: []ir.Rule{{
			Origin: origin, Name: "matches",
			Matches: []ir.Match{
				path(ir.MatchExact, "/exact", false), path(ir.MatchPrefix, "/prefix", true), path(ir.MatchRegex, "/re.*", true),
				{Headers: []ir.HeaderMatch{
					{Name: "a", Match: text(ir.MatchExact, "x")},
					{Name: "b", Match: text(ir.MatchPrefix, "x")},
					{Name: "c", Match: text(ir.MatchRegex, "x+")},
					{Name: "d", Match: text(ir.MatchPresent, ""), Invert: true},
					{Name: ":method", Match: text(ir.MatchExact, "GET")},
				}},
				{Query: []ir.QueryMatch{
					{Name: "a", Match: text(ir.MatchExact, "x")},
					{Name: "b", Match: text(ir.MatchPrefix, "x")},
					{Name: "c", Match: text(ir.MatchRegex, "x+")},
					{Name: "d", Match: text(ir.MatchPresent, "")},
				}, StatPrefix: "counted.here", Place: ir.Place{Port: 80, Namespace: "apps"}},
			},
			Destinations: []ir.Destination{to("a", "v1", 90), to("a", "v2", 10)},
			Timeout:      time.Second,
			Retry:        &ir.Retry{Attempts: 3, PerTryTimeout: time.Second, On: "5xx,retriable-status-codes", StatusCodes: []uint32{503}, Backoff: 2 * time.Second, SameHosts: true, Remote: true},
		}, {
			Origin: origin, Name: "broken", Matches: []ir.Match{path(ir.MatchPrefix, "/broken", false)},
			Direct: &ir.Direct{Status: 500, Body: "this rule is not valid"},
		}, {
			Origin: origin, Matches: []ir.Match{path(ir.MatchPrefix, "/old", false)},
			Redirect: &ir.Redirect{Scheme: "https", Authority: "new.example.com", Prefix: "/new", Port: 8443, Status: 308},
		}, {
			Origin: origin, Matches: []ir.Match{path(ir.MatchExact, "/moved", false)},
			Redirect: &ir.Redirect{Path: "/there?a=b", SamePort: true, Status: 301},
		}, {
			Origin: origin, Matches: []ir.Match{
				path(ir.MatchPrefix, "/w", false), path(ir.MatchExact, "/x", false), path(ir.MatchRegex, "/r.*", true),
			},
			Destinations: []ir.Destination{edited(to("a", "v1", 90)), to("a", "v2", 10)},
			Handling: ir.Handling{
				Headers: &ir.Headers{
					Request: []ir.HeaderEdit{
						{Kind: ir.EditSet, Name: "x-path", Value: "%REQ(:path):20% of 100%%"},
						{Kind: ir.EditSet, Name: "x-empty"},
						{Kind: ir.EditAdd, Name: "x-peer", Value: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"},
						{Kind: ir.EditRemove, Name: "cookie"},
					},
					Response: []ir.HeaderEdit{{Kind: ir.EditRemove, Name: "server"}},
				},
				Rewrite: &ir.Rewrite{Path: "/new", Authority: "inner.example.com:80"},
			},
		}, {
			Origin: origin, Destinations: []ir.Destination{edited(to("b", "", 100))},
			Matches: []ir.Match{path(ir.MatchPrefix, "/regex", false)},
			Mirrors: []ir.Mirror{{To: to("c", "", 0), Percent: ir.Everything}, {To: to("a", "v1", 0), Percent: 1}},
			Handling: ir.Handling{Rewrite: &ir.Rewrite{Pattern: "^/a/([^/]+)(/.*)$", Substitute: `/\2/\1\\`}, Fault: &ir.Fault{
				Delay: time.Second, DelayPercent: ir.Everything / 2, AbortStatus: 503, AbortPercent: 1,
			}, CORS: &ir.CORS{
				Origins: []ir.StringMatch{text(ir.MatchExact, "*"), text(ir.MatchPrefix, "https://a"), text(ir.MatchRegex, "https://.*")},
				Methods: "GET,POST", Headers: "x-a", Expose: "*", MaxAge: 60, HasMaxAge: true, Credentials: true, StopUnmatched: true,
			}},
		}, {
			Origin: origin, Matches: []ir.Match{path(ir.MatchPrefix, "/grpc", false)}, Direct: &ir.Direct{Status: 200},
			Handling: ir.Handling{Fault: &ir.Fault{HasGRPC: true, AbortGRPC: 14, AbortPercent: ir.Everything}},
		}, {
			Origin: origin, Destinations: []ir.Destination{to("b", "", 50), to("c", "", 50)}, Retry: &ir.Retry{},
		}, {
			Origin: origin, Destinations: []ir.Destination{to("d", "", 100)},
		}},
	}
}

func edited(d ir.Destination) ir.Destination {
	d.Headers = &ir.Headers{
		Request:  []ir.HeaderEdit{{Kind: ir.EditSet, Name: "x-version", Value: "v1"}},
		Response: []ir.HeaderEdit{{Kind: ir.EditAdd, Name: "x-from", Value: "%UPSTREAM_HOST%"}},
	}
	d.Authority = "old.example.com"
	return d
}

func policies() map[ir.ConfigKey]*ir.TrafficPolicy {
	out := map[ir.ConfigKey]*ir.TrafficPolicy{}
	add := func(host string, settings ir.PolicySettings, subsets ...ir.Subset) {
		k := ir.ConfigKey{Namespace: "apps", Name: host}
		out[k] = &ir.TrafficPolicy{
			Origin: ir.Origin{Kind: "DestinationRule", Namespace: "apps", Name: host}, Host: fqdn(host),
			ExportTo: ir.Visibility{All: true}, Settings: settings, Subsets: subsets,
		}
	}
	lb := func(b ir.Balance, key string) ir.PolicySettings {
		return ir.PolicySettings{LoadBalancer: ir.LoadBalancer{Balance: b, HashKey: key, HashTTL: int64(time.Hour)}}
	}
	five, none := uint32(5), uint32(0)
	limits := func(change func(*ir.ConnectionPool)) *ir.PolicySettings {
		p := &ir.ConnectionPool{
			MaxConnections: 1, ConnectTimeout: time.Second, Keepalive: &ir.Keepalive{Probes: 3, Time: time.Minute, Interval: time.Second},
			MaxConnectionDuration: time.Hour, IdleTimeout: ir.Never, MaxPendingRequests: 2, MaxRequests: 3, MaxRequestsPerConnection: 1 << 29,
			MaxRetries: 4, HTTPIdleTimeout: time.Minute, MaxConcurrentStreams: 1<<31 - 1,
			Ping: &ir.Ping{Interval: time.Second, Timeout: time.Second},
		}
		change(p)
		return &ir.PolicySettings{Pool: p, Outliers: &ir.OutlierDetection{
			Consecutive5xx: &five, ConsecutiveGateway: &none, ConsecutiveLocalOrigin: &five, SplitLocalOrigin: true,
			Interval: time.Second, BaseEjectionTime: time.Hour, MaxEjectionPercent: 100, MinHealthPercent: 50, ErrorCodes: []uint32{429, 500},
		}}
	}
	add("a", lb(ir.BalanceRoundRobin, ""), ir.Subset{Name: "plain", Settings: limits(func(*ir.ConnectionPool) {})},
		ir.Subset{Name: "client", Settings: limits(func(p *ir.ConnectionPool) { p.ClientProtocol = true })},
		ir.Subset{Name: "budget", Settings: &ir.PolicySettings{
			LoadBalancer:  ir.LoadBalancer{Balance: ir.BalanceLeastRequest, Warmup: time.Minute, WarmupPercent: 2.5, WarmupAggression: 1.5},
			ProxyProtocol: ir.ProxyProtocolV1,
			RetryBudget:   &ir.RetryBudget{Percent: 12.5, MinConcurrency: 3, Interval: time.Second},
		}},
		ir.Subset{Name: "warm", Settings: &ir.PolicySettings{
			LoadBalancer:  ir.LoadBalancer{Balance: ir.BalanceRoundRobin, Warmup: time.Minute, WarmupAggression: 1},
			TLS:           &ir.ClientTLS{Mode: ir.TLSDisable},
			ProxyProtocol: ir.ProxyProtocolV2,
		}},
		ir.Subset{Name: "ring", Settings: &ir.PolicySettings{
			LoadBalancer: ir.LoadBalancer{Balance: ir.BalanceHashSourceIP, TableSize: 2048},
		}},
		ir.Subset{Name: "maglev", Settings: &ir.PolicySettings{
			LoadBalancer: ir.LoadBalancer{Balance: ir.BalanceHashSourceIP, Maglev: true, TableSize: 101},
		}},
		ir.Subset{Name: "upgrade", Settings: limits(func(p *ir.ConnectionPool) { p.Upgrade = true })},
		ir.Subset{Name: "v1", Labels: ir.Labels{{Key: "version", Value: "v1"}}},
		ir.Subset{Name: "v2", Labels: ir.Labels{{Key: "version", Value: "v2"}}})
	add("b", lb(ir.BalanceHashHeader, "x-user"))
	add("c", lb(ir.BalanceHashCookie, "session"))
	add("d", ir.PolicySettings{
		LoadBalancer: ir.LoadBalancer{Balance: ir.BalanceHashSourceIP},
		TLS:          &ir.ClientTLS{Mode: ir.TLSMesh},
	})
	out[ir.ConfigKey{Namespace: "apps", Name: "c"}].Ports = []ir.PortPolicy{{Port: 82, Settings: ir.PolicySettings{
		Pool: &ir.ConnectionPool{IdleTimeout: ir.Never, MaxConnectionDuration: time.Hour},
	}}}
	out[ir.ConfigKey{Namespace: "apps", Name: "c"}].Settings.Tunnel = &ir.Tunnel{Target: "example.com:443", Post: true}
	add("headless", ir.PolicySettings{LoadBalancer: ir.LoadBalancer{Balance: ir.BalancePassthrough}})
	add("alias", ir.PolicySettings{
		LoadBalancer: ir.LoadBalancer{Balance: ir.BalanceRandom},
		TLS:          &ir.ClientTLS{Mode: ir.TLSSimple, SNI: "example.com", SubjectAltNames: []string{"example.com"}, InsecureSkipVerify: true},
	})
	return out
}

func gateway() *ir.Gateway {
	origin := ir.Origin{Kind: "Gateway", Namespace: "apps", Name: "g"}
	server := func(name string, port uint16, host string, tls *ir.ServerTLS) ir.Server {
		o := origin
		o.Section = name
		protocol := ir.ProtocolHTTP
		if tls != nil {
			protocol = ir.ProtocolHTTPS
		}
		return ir.Server{
			Origin: o, PortName: name, Port: port, Protocol: protocol,
			Hosts: []ir.ServerHost{{Namespace: "*", Host: host}}, TLS: tls,
		}
	}
	cert := []ir.SecretKey{{Kind: ir.SecretCertificate, Credential: "cert"}}
	redirect := server("redirect", 8080, "secure.example.com", nil)
	redirect.HTTPSRedirect = true
	return &ir.Gateway{
		Origin: origin, Selector: ir.Labels{{Key: "istio", Value: "ingressgateway"}},
		Servers: []ir.Server{
			server("http", 8080, "*", nil), redirect,
			server("https", 8443, "shop.example.com", &ir.ServerTLS{Certificates: cert}),
			server("mutual", 8443, "*.example.org", &ir.ServerTLS{Mode: ir.ServerMutual, Certificates: cert, MinVersion: "TLSV1_3"}),
			server("optional", 8443, "optional.example.org", &ir.ServerTLS{
				Mode: ir.ServerOptionalMutual, Certificates: []ir.SecretKey{{Kind: ir.SecretCertificate, File: "/tls.crt", KeyFile: "/tls.key"}},
				CA: ir.SecretKey{Kind: ir.SecretCA, File: "/ca.crt"}, CRLFile: "/crl.pem",
				Client: ir.ClientCheck{
					Names: []string{"a.example.com"}, SPKI: []string{"NvqYIYSbgK2vCJpQhObf77vv+bQWtc5ek5RIOwPiC9A="},
					Hashes: []string{"df6ff72fe9116521268f6f2dd4966f51df479883fe7037b39f75916ac3049d1a"}, Lax: true,
				},
			}),
			server("mesh", 8443, "mesh.example.org", &ir.ServerTLS{Mode: ir.ServerMesh}),
		},
	}
}

func peerAuthentications() map[ir.ConfigKey]*ir.PeerAuthentication {
	return map[ir.ConfigKey]*ir.PeerAuthentication{{Namespace: "apps", Name: "p"}: {
		Origin:   ir.Origin{Kind: "PeerAuthentication", Namespace: "apps", Name: "p"},
		Selector: ir.Labels{{Key: "app", Value: "a"}}, Mode: ir.MTLSStrict,
		Ports: []ir.PortMTLS{{Port: 8081, Mode: ir.MTLSPermissive}, {Port: 8082, Mode: ir.MTLSDisable}, {Port: 9999, Mode: ir.MTLSDisable}},
	}}
}
