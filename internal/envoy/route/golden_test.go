// SPDX-License-Identifier: Apache-2.0

package route

import (
	"testing"
	"time"

	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/test/golden"
)

func to(subset string, weight uint32) ir.Target {
	return ir.Target{Cluster: ir.ClusterKey{Host: "reviews.books.svc.cluster.local", Port: 9080, Subset: subset}, Weight: weight}
}

// host is a virtual host with one rule.
func host(rule ir.ResolvedRule) func() golden.Message {
	return func() golden.Message {
		rule.Origin = ir.Origin{Kind: "VirtualService", Namespace: "books", Name: "reviews", Section: "http[0]"}
		if rule.Targets == nil && rule.Direct == nil {
			rule.Targets = []ir.Target{to("", 100)}
		}
		return VirtualHost(&ir.VirtualHost{
			Key:     ir.VirtualHostKey{RouteConfig: "9080", Host: "reviews.books.svc.cluster.local"},
			Domains: []string{"reviews", "reviews.books", "reviews.books.svc", "reviews.books.svc.cluster.local"},
			Rules:   []ir.ResolvedRule{rule},
			Origins: []ir.Origin{rule.Origin.Object()},
		})
	}
}

func onPath(kind ir.StringKind, value string, ignoreCase bool) ir.Match {
	return ir.Match{Path: &ir.StringMatch{Kind: kind, Value: value}, PathIgnoreCase: ignoreCase}
}

func onHeader(name string, kind ir.StringKind, value string, invert bool) ir.HeaderMatch {
	return ir.HeaderMatch{Name: name, Match: ir.StringMatch{Kind: kind, Value: value}, Invert: invert}
}

func hashed(lb ir.LoadBalancer) func() golden.Message {
	target := to("", 100)
	target.Hash = lb
	return host(ir.ResolvedRule{Targets: []ir.Target{target}})
}

func config() golden.Message { return Config(&ir.RouteConfig{Name: "9080"}) }

func of(u ir.Unknown) *ir.RouteConfig { return &ir.RouteConfig{Name: "9080", Unknown: u} }

func TestGolden(t *testing.T) {
	golden.Messages(t, map[string]func() golden.Message{
		"claims": host(ir.ResolvedRule{Matches: []ir.Match{{Headers: []ir.HeaderMatch{
			onHeader(ir.ClaimName("group"), ir.MatchExact, "dev", false), onHeader(ir.ClaimName("https://example.com/roles", "a"), ir.MatchRegex, "b|c", true),
			onHeader(ir.ClaimName("email"), ir.MatchPresent, "", true), onHeader("x-debug", ir.MatchPresent, "", false),
		}}}}),
		"config": config,
		"config-http3": func() golden.Message {
			return Config(&ir.RouteConfig{Name: "https.8443.https.web.books", HTTP3: 443})
		},
		"alone": func() golden.Message {
			return Alone(&ir.VirtualHost{
				Key:     ir.VirtualHostKey{RouteConfig: ir.HostRouteName("web.books.svc.cluster.local", 7000), Host: "web.books.svc.cluster.local"},
				Domains: []string{"*"}, Rules: []ir.ResolvedRule{{Targets: []ir.Target{to("", 100)}}},
			})
		},
		"rest-passthrough": func() golden.Message { return Rest(of(ir.Unknown{})) },
		"rest-blocked":     func() golden.Message { return Rest(of(ir.Unknown{Refused: true})) },
		"rest-proxied": func() golden.Message {
			return Rest(of(ir.Unknown{Proxy: ir.ClusterKey{Host: "egress.istio-system.svc.cluster.local", Port: 8080, Subset: "v1"}}))
		},
		"rest-dynamic": func() golden.Message {
			return Rest(&ir.RouteConfig{Name: "9080", Port: 9080, Unknown: ir.Unknown{Dynamic: true}})
		},
		"speaks": func() golden.Message {
			other := to("v1", 50)
			other.Authority = "v1.example.com"
			return VirtualHost(&ir.VirtualHost{
				Key:     ir.VirtualHostKey{RouteConfig: "9080", Host: "reviews.books.svc.cluster.local"},
				Domains: []string{"reviews"}, NoAttempts: true, TellHost: true,
				Rules: []ir.ResolvedRule{
					{Targets: []ir.Target{to("v1", 100)}, Handling: ir.Handling{Rewrite: &ir.Rewrite{Authority: "other.example.com"}}},
					{Targets: []ir.Target{other, to("v2", 50)}},
					{Targets: []ir.Target{to("v2", 100)}},
				},
			})
		},
		"none": func() golden.Message { return None(of(ir.Unknown{})) },
		"unknown": func() golden.Message {
			return Unknown(Rest(of(ir.Unknown{})), ir.VirtualHostKey{RouteConfig: "9080", Host: "www.example.com"})
		},
		"inbound": func() golden.Message { return Inbound(8080) },
		"dynamic": host(ir.ResolvedRule{Targets: []ir.Target{
			{Cluster: ir.ClusterKey{Host: "*.example.com", Port: 80}, Weight: 100, Dynamic: 443},
		}}),
		"default": host(ir.ResolvedRule{Name: "default"}),
		"paths": host(ir.ResolvedRule{Matches: []ir.Match{
			onPath(ir.MatchExact, "/exact", false), onPath(ir.MatchPrefix, "/prefix", true), onPath(ir.MatchRegex, "/r[0-9]+", false), onPath(ir.MatchRegex, "/r[0-9]+", true),
		}}),
		"headers": host(ir.ResolvedRule{Matches: []ir.Match{{Headers: []ir.HeaderMatch{
			onHeader(":method", ir.MatchExact, "POST", false), onHeader("a", ir.MatchPrefix, "x", false), onHeader("b", ir.MatchRegex, "x+", false), onHeader("c", ir.MatchPresent, "", false),
		}}}}),
		"without-headers": host(ir.ResolvedRule{Matches: []ir.Match{{Headers: []ir.HeaderMatch{
			onHeader("a", ir.MatchExact, "x", true), onHeader("b", ir.MatchPresent, "", true),
		}}}}),
		"weights":     host(ir.ResolvedRule{Targets: []ir.Target{to("v1", 90), to("v2", 10)}}),
		"direct":      host(ir.ResolvedRule{Direct: &ir.Direct{Status: 500}}),
		"direct-body": host(ir.ResolvedRule{Direct: &ir.Direct{Status: 503, Body: "closed"}}),
		"timeout":     host(ir.ResolvedRule{Timeout: int64(1500 * time.Millisecond)}),
		"retry-of-mesh": func() golden.Message {
			return VirtualHost(&ir.VirtualHost{
				Key:     ir.VirtualHostKey{RouteConfig: "9080", Host: "reviews.books.svc.cluster.local"},
				Domains: []string{"reviews"}, Retry: &ir.Retry{Attempts: 1, On: "connect-failure"},
				Rules: []ir.ResolvedRule{
					{Targets: []ir.Target{to("v1", 100)}, Retry: &ir.Retry{}}, {Targets: []ir.Target{to("v2", 100)}},
				},
			})
		},
		"session-cookie": host(ir.ResolvedRule{Session: &ir.Session{Cookie: "at", Path: "/"}}),
		"session-header": host(ir.ResolvedRule{Session: &ir.Session{Header: "x-at"}}),
		"no-retry":       host(ir.ResolvedRule{Retry: &ir.Retry{}}),
		"retry": host(ir.ResolvedRule{Retry: &ir.Retry{
			Attempts: 3, PerTryTimeout: time.Second, On: "gateway-error,retriable-status-codes", StatusCodes: []uint32{409, 503},
		}}),
		"hash-header":         hashed(ir.LoadBalancer{Balance: ir.BalanceHashHeader, HashKey: "x-user"}),
		"hash-cookie":         hashed(ir.LoadBalancer{Balance: ir.BalanceHashCookie, HashKey: "user", HashPath: "/", HashTTL: int64(time.Hour)}),
		"hash-cookie-session": hashed(ir.LoadBalancer{Balance: ir.BalanceHashCookie, HashKey: "user"}),
		"hash-cookie-theirs":  hashed(ir.LoadBalancer{Balance: ir.BalanceHashCookie, HashKey: "user", HashTTL: -1}),
		"hash-source":         hashed(ir.LoadBalancer{Balance: ir.BalanceHashSourceIP}),
		"hash-query":          hashed(ir.LoadBalancer{Balance: ir.BalanceHashQuery, HashKey: "user"}),
		"redirect-tls": func() golden.Message {
			return VirtualHost(&ir.VirtualHost{
				Key:     ir.VirtualHostKey{RouteConfig: "http.8080", Host: "*.example.com"},
				Domains: []string{"*.example.com"}, RedirectTLS: true,
			})
		},
	})
}
