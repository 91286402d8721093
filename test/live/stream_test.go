// SPDX-License-Identifier: Apache-2.0

//go:build integration && linux

package live

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/meshwright/meshwright/internal/agent/node"
)

const streams = `
{apiVersion: v1, kind: Service, metadata: {name: front, namespace: shop}, spec: {clusterIP: 10.96.0.5, ports: [{name: tls, port: 443}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: one, namespace: shop}, spec: {clusterIP: 10.96.0.6, selector: {app: one}, ports: [{name: tls, port: 443, targetPort: 8443}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: two, namespace: shop}, spec: {clusterIP: 10.96.0.7, selector: {app: two}, ports: [{name: https, port: 443, targetPort: 8443}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: db, namespace: shop}, spec: {clusterIP: 10.96.0.8, selector: {app: db}, ports: [{name: tcp, port: 5432}, {name: tcp-half, port: 5433, targetPort: 5432}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: any, namespace: shop}, spec: {clusterIP: 10.96.0.9, selector: {app: db}, ports: [{name: any, port: 5432}]}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: db, namespace: shop}
spec: {host: db, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
---
{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: default, namespace: shop}, spec: {mtls: {mode: STRICT}}}
`

// startStreams starts two servers of TLS and two databases that speak first, all
// behind sidecars that insist on mutual TLS.
func startStreams(w *World) {
	w.Apply(streams)
	authority := NewAuthority(w.t, "servers")
	for _, app := range []string{"one", "two"} {
		p := w.Start(Spec{Namespace: "shop", Name: app + "-1", Labels: map[string]string{"app": app}, Proxy: node.Sidecar})
		pair := authority.Issue(Leaf{DNS: []string{app}})
		go p.speak(tls.NewListener(p.Listen(":8443"), &tls.Config{Certificates: pair.TLS()}))
	}
	for _, version := range []string{"v1", "v2"} {
		w.Start(Spec{
			Namespace: "shop", Name: "db-" + version, Labels: map[string]string{"app": "db", "version": version}, Proxy: node.Sidecar,
		}).serveLines(5432)
	}
}

// greeting is what a server says first, by TLS when there is a configuration. What
// is refused without a word is "closed".
func (p *Pod) greeting(to string, config *tls.Config) string {
	conn, err := p.Dial(to)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = conn.Close() }()
	if config != nil {
		conn = tls.Client(conn, config)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	var refused *net.OpError
	switch {
	case err == nil:
		return strings.TrimSpace(line)
	case line == "" && (err.Error() == "EOF" || errors.As(err, &refused)):
		return "closed"
	}
	return err.Error()
}

func (p *Pod) expectGreeting(to string, config *tls.Config, want string) {
	p.world.t.Helper()
	p.world.Eventually(p.Name+" connects to "+to, func() error {
		if got := p.greeting(to, config); got != want {
			return fmt.Errorf("got %q, want %q", got, want)
		}
		return nil
	})
}

// greetings counts who answers.
func (p *Pod) greetings(to string, times int) map[string]int {
	out := map[string]int{}
	for range times {
		out[p.greeting(to, nil)]++
	}
	return out
}

func named(name string) *tls.Config {
	return &tls.Config{ServerName: name, InsecureSkipVerify: true}
}

// TestRoutesByServerName: two names at one address and port lead to two servers of
// TLS, and a third name to none.
func TestRoutesByServerName(t *testing.T) {
	w := New(t)
	startStreams(w)
	w.Apply(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: front, namespace: shop}
spec:
  hosts: [front, "*.example.com"]
  tls:
  - match: [{sniHosts: ["*.example.com"]}]
    route: [{destination: {host: two}}]
  - match: [{sniHosts: [one.example.com]}]
    route: [{destination: {host: one}}]
`)
	page := w.Start(Spec{Namespace: "shop", Name: "page-1", Proxy: node.Sidecar})
	page.expectGreeting("10.96.0.5:443", named("one.example.com"), "shop/one-1")
	page.expectGreeting("10.96.0.5:443", named("two.example.com"), "shop/two-1")
	page.expectGreeting("10.96.0.5:443", named("one.example.org"), "closed")
	page.expectGreeting("10.96.0.6:443", named("one.example.org"), "shop/one-1") // a Service of which no rule speaks
}

// TestRoutesOfBytes: connections to a server that speaks first are shared out by
// weight, and those of clients with some labels go elsewhere. The share of what
// does not exist is closed and does not go to the others.
func TestRoutesOfBytes(t *testing.T) {
	w := New(t)
	startStreams(w)
	w.Apply(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: db, namespace: shop}
spec:
  hosts: [db]
  tcp:
  - match: [{port: 5432, sourceLabels: {app: report}}]
    route: [{destination: {host: db, port: {number: 5432}, subset: v2}}]
  - match: [{port: 5432}]
    route:
    - {destination: {host: db, port: {number: 5432}, subset: v1}, weight: 80}
    - {destination: {host: db, port: {number: 5432}, subset: v2}, weight: 20}
  - match: [{port: 5433}]
    route:
    - {destination: {host: db, port: {number: 5433}, subset: v1}, weight: 50}
    - {destination: {host: db, port: {number: 5433}, subset: v3}, weight: 50}
`)
	page := w.Start(Spec{Namespace: "shop", Name: "page-1", Labels: map[string]string{"app": "page"}, Proxy: node.Sidecar})
	report := w.Start(Spec{Namespace: "shop", Name: "report-1", Labels: map[string]string{"app": "report"}, Proxy: node.Sidecar})
	page.expectGreeting("10.96.0.8:5432", nil, "shop/db-v1")
	page.expectGreeting("10.96.0.8:5432", nil, "shop/db-v2")

	got := page.greetings("10.96.0.8:5432", 500)
	t.Logf("4:1 of 500: %v", got)
	if n := got["shop/db-v2"]; n < 40 || n > 160 || n+got["shop/db-v1"] != 500 { // 100 and more than six deviations
		t.Errorf("of 500 connections, %v", got)
	}
	if got := report.greetings("10.96.0.8:5432", 100); got["shop/db-v2"] != 100 {
		t.Errorf("of 100 connections with the labels, %v", got)
	}
	got = page.greetings("10.96.0.8:5433", 200)
	t.Logf("1:1 of 200, one half missing: %v", got)
	if keys := slices.Sorted(maps.Keys(got)); !slices.Equal(keys, []string{"closed", "shop/db-v1"}) || got["closed"] < 50 || got["closed"] > 150 {
		t.Errorf("with a missing half of 200 connections, %v", got)
	}
}

// TestGatewayStreams: one gateway carries bytes, carries TLS as it is, ends TLS and
// carries what is inside, all to servers that insist on mutual TLS, and it brings
// connections of the mesh to the servers that they name.
func TestGatewayStreams(t *testing.T) {
	w := New(t)
	startStreams(w)
	authority := NewAuthority(t, "gateway")
	w.Secret(RootNamespace, "cert", authority.Issue(Leaf{DNS: []string{"db.example.com", "any.example.com"}}).Secret())
	w.Apply(gateway("web",
		"{port: {number: 5432, name: tcp, protocol: TCP}, hosts: ['*']}",
		"{port: {number: 443, name: pass, protocol: TLS}, hosts: ['*.example.com'], tls: {mode: PASSTHROUGH}}",
		"{port: {number: 443, name: end, protocol: TLS}, hosts: [db.example.com], tls: {mode: SIMPLE, credentialName: cert}}",
		"{port: {number: 443, name: any, protocol: TLS}, hosts: [any.example.com], tls: {mode: SIMPLE, credentialName: cert}}",
		"{port: {number: 15443, name: auto, protocol: TLS}, hosts: ['shop/*.local'], tls: {mode: AUTO_PASSTHROUGH}}",
	) + `---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: pass, namespace: shop}
spec:
  hosts: ["*.example.com"]
  gateways: [web]
  tls:
  - match: [{sniHosts: [one.example.com]}]
    route: [{destination: {host: one}}]
  - match: [{sniHosts: [two.example.com]}]
    route: [{destination: {host: two}}]
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: db, namespace: shop}, spec: {hosts: [db.example.com], gateways: [web], tcp: [{route: [{destination: {host: db, port: {number: 5432}, subset: v2}}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: any, namespace: shop}, spec: {hosts: [any.example.com], gateways: [web], tcp: [{route: [{destination: {host: any}}]}]}}
`)
	ingress := w.Start(Spec{Namespace: RootNamespace, Name: "ingress-1", Labels: map[string]string{"istio": "ingress"}, Proxy: node.Router})
	client := w.Start(Spec{Namespace: "other", Name: "client-1"})
	client.expectGreeting(ingress.At(5432), nil, "shop/db-v2")
	client.expectGreeting(ingress.At(443), named("one.example.com"), "shop/one-1")
	client.expectGreeting(ingress.At(443), named("two.example.com"), "shop/two-1")
	client.expectGreeting(ingress.At(443), named("three.example.com"), "closed")
	client.expectGreeting(ingress.At(443), &tls.Config{ServerName: "db.example.com", RootCAs: authority.Pool()}, "shop/db-v2")
	for range 4 { // any of the two
		if got := client.greeting(ingress.At(443), named("any.example.com")); !strings.HasPrefix(got, "shop/db-v") {
			t.Errorf("to a port that does not say what it carries: %q", got)
		}
	}

	member := named("outbound_.5432_.v1_.db.shop.svc.cluster.local")
	member.Certificates, member.NextProtos = w.Identity("shop", "page").TLS(), []string{"istio"}
	client.expectGreeting(ingress.At(15443), member, "shop/db-v1")
	member.ServerName = "outbound_.5432_.v2_.db.shop.svc.cluster.local"
	client.expectGreeting(ingress.At(15443), member, "shop/db-v2")
	member.ServerName = "outbound_.1_._.db.shop.svc.cluster.local"
	client.expectGreeting(ingress.At(15443), member, "closed")
	member.ServerName, member.NextProtos = "outbound_.5432_.v1_.db.shop.svc.cluster.local", nil
	client.expectGreeting(ingress.At(15443), member, "closed")
}
