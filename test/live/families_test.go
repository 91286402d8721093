// SPDX-License-Identifier: Apache-2.0

//go:build integration && linux

package live

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/meshwright/meshwright/internal/agent/node"
)

const families = `
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {clusterIP: 10.96.0.2, clusterIPs: [10.96.0.2, "fd00:96::2"], ipFamilies: [IPv4, IPv6], selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: db, namespace: shop}, spec: {clusterIP: 10.96.0.3, clusterIPs: [10.96.0.3, "fd00:96::3"], ipFamilies: [IPv4, IPv6], selector: {app: web}, ports: [{name: tcp, port: 5432}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: peers, namespace: shop}, spec: {clusterIP: None, clusterIPs: [None], ipFamilies: [IPv6, IPv4], selector: {app: web}, ports: [{name: tcp, port: 9042}, {name: http, port: 8080}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: first, namespace: shop}, spec: {clusterIP: "fd00:96::4", clusterIPs: ["fd00:96::4", 10.96.0.4], ipFamilies: [IPv6, IPv4], selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8066}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: lone, namespace: shop}, spec: {clusterIP: "fd00:96::5", clusterIPs: ["fd00:96::5"], ipFamilies: [IPv6], selector: {app: lone}, ports: [{name: http, port: 80, targetPort: 8080}]}}
---
{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: default, namespace: shop}, spec: {mtls: {mode: STRICT}}}
`

// TestFamilies calls servers by both families of addresses, by mutual TLS: pods that have
// both, one, and the other; Services of each; pods by their own addresses.
func TestFamilies(t *testing.T) {
	w := New(t)
	w.Apply(families)
	web := w.Start(Spec{Namespace: "shop", Name: "web-1", Labels: map[string]string{"app": "web"}, Proxy: node.Sidecar, IPv6: true})
	lone := w.Start(Spec{Namespace: "shop", Name: "lone-1", Labels: map[string]string{"app": "lone"}, Proxy: node.Sidecar, OnlyIPv6: true})
	web.ServeEcho(8080)
	web.serveLines(5432)
	web.serveLines(9042)
	web.serveIPv6(8066)
	lone.ServeEcho(8080)
	page := w.Start(Spec{Namespace: "shop", Name: "page-1", Proxy: node.Sidecar, IPv6: true})
	old := w.Start(Spec{Namespace: "shop", Name: "old-1", Proxy: node.Sidecar})
	outside := w.Start(Spec{Namespace: "other", Name: "outside-1", IPv6: true})
	outside.ServeEcho(8080)
	outside.serveLines(7000)

	for _, c := range []struct {
		from     *Pod
		to       string
		host     string
		source   string // where the application sees the request come from
		answered string
	}{
		{page, "10.96.0.2:80", "web.shop", "127.0.0.6", "web-1"},
		{page, "[fd00:96::2]:80", "web.shop", "127.0.0.6", "web-1"}, // the Service's first family
		{page, "[fd00:96::2]:80", "[fd00:96::2]", "127.0.0.6", "web-1"},
		{page, "10.96.0.4:80", "first.shop", "[::6]", "web-1"}, // a server that has IPv6 only
		{page, "[fd00:96::4]:80", "first.shop", "[::6]", "web-1"},
		{page, "[fd00:96::5]:80", "lone.shop", "[::6]", "lone-1"},
		{page, web.At6(8080), web.At6(8080), "[::6]", "web-1"},  // a pod by its own address
		{lone, "[fd00:96::2]:80", "web.shop", "[::6]", "web-1"}, // its proxy has no way to the first address
		{lone, "[fd00:96::4]:80", "first.shop", "[::6]", "web-1"},
		{old, "10.96.0.2:80", "web.shop", "127.0.0.6", "web-1"},
		{page, outside.At6(8080), outside.At6(8080), "", "outside-1"}, // nobody's address
	} {
		got := c.from.Expect(Call{To: c.to, URL: "http://" + c.host + "/"}, "200 "+c.answered)
		if from := got.Echo().Remote; c.source != "" && !strings.HasPrefix(from, c.source+":") {
			t.Errorf("%s calls %s at %s, which sees %s", c.from.Name, c.host, c.to, from)
		}
	}
	page.expectLine("10.96.0.3:5432", "shop/web-1")
	page.expectLine("[fd00:96::3]:5432", "shop/web-1")
	lone.expectLine("[fd00:96::3]:5432", "shop/web-1")
	page.expectLine(web.At(9042), "shop/web-1")
	page.expectLine(web.At6(9042), "shop/web-1")
	lone.expectLine(web.At6(9042), "shop/web-1")
	page.expectLine(outside.At6(7000), "other/outside-1")
	for _, to := range []string{web.At(8080), web.At6(8080), lone.At6(8080)} {
		if got := outside.Call(Call{To: to, URL: "http://web.shop/"}); got.Err == nil {
			t.Errorf("a client outside the mesh calls %s by plaintext: %s", to, got)
		}
	}
	if strings.Contains(old.Admin("/config_dump"), `"::`) {
		t.Error("a pod without IPv6 is told of it")
	}
	// A name with addresses of both families, at a proxy that has a way to one of them.
	w.Name("both.example.com", outside.Addresses...)
	w.Apply("{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: both, namespace: shop}, spec: {hosts: [both.example.com], ports: [{number: 8080, name: http, protocol: HTTP}], resolution: DNS, location: MESH_EXTERNAL}}")
	lone.Expect(Call{To: "[fd00:9::9]:8080", URL: "http://both.example.com:8080/"}, "200 outside-1")
	old.Expect(Call{To: "192.0.2.1:8080", URL: "http://both.example.com:8080/"}, "200 outside-1")
	w.clean()
}

// TestGatewayOfBothFamilies enters the mesh by both families at one gateway, and at ports
// at which a sidecar listens itself.
func TestGatewayOfBothFamilies(t *testing.T) {
	w := New(t)
	w.Apply(families + `
---
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: edge, namespace: shop}, spec: {selector: {app: edge}, servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: ["*"]}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: edge, namespace: shop}, spec: {hosts: ["*"], gateways: [edge], http: [{match: [{uri: {prefix: /lone}}], route: [{destination: {host: lone}}]}, {route: [{destination: {host: web}}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: own, namespace: shop}, spec: {workloadSelector: {labels: {app: own}}, ingress: [{port: {number: 9090, name: http, protocol: HTTP}, bind: 0.0.0.0, captureMode: NONE, defaultEndpoint: "127.0.0.1:8080"}]}}
---
{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: own, namespace: shop}, spec: {selector: {matchLabels: {app: own}}, mtls: {mode: PERMISSIVE}}}
---
{apiVersion: v1, kind: Service, metadata: {name: other, namespace: shop}, spec: {clusterIP: 10.96.0.9, selector: {app: other}, ports: [{name: http, port: 9090}]}}
`)
	web := w.Start(Spec{Namespace: "shop", Name: "web-1", Labels: map[string]string{"app": "web"}, Proxy: node.Sidecar, IPv6: true})
	lone := w.Start(Spec{Namespace: "shop", Name: "lone-1", Labels: map[string]string{"app": "lone"}, Proxy: node.Sidecar, OnlyIPv6: true})
	web.ServeEcho(8080)
	lone.ServeEcho(8080)
	edge := w.Start(Spec{Namespace: "shop", Name: "edge-1", Labels: map[string]string{"app": "edge"}, Proxy: node.Router, IPv6: true})
	lonely := w.Start(Spec{Namespace: "shop", Name: "edge-2", Labels: map[string]string{"app": "edge"}, Proxy: node.Router, OnlyIPv6: true})
	own := w.Start(Spec{Namespace: "shop", Name: "own-1", Labels: map[string]string{"app": "own"}, Proxy: node.Sidecar, IPv6: true})
	own.ServeEcho(8080)
	client := w.Start(Spec{Namespace: "other", Name: "client-1", IPv6: true})
	for _, to := range []string{edge.At(8080), edge.At6(8080), lonely.At6(8080)} {
		got := client.Expect(Call{To: to, URL: "http://shop.example.com/"}, "200 web-1")
		from := client.in(strings.HasPrefix(to, "[")).String()
		if seen := got.Echo().Header.Get("X-Forwarded-For"); seen != from {
			t.Errorf("the gateway at %s sees the client as %s, which is %s", to, seen, from)
		}
		client.Expect(Call{To: to, URL: "http://shop.example.com/lone"}, "200 lone-1")
	}
	for _, to := range []string{own.At(9090), own.At6(9090)} {
		client.Expect(Call{To: to, URL: "http://own.shop:9090/"}, "200 own-1")
	}
	w.clean()
}

// TestNamesOfFamilies resolves names as applications of pods of both families do, by name
// servers of both, and calls what they lead to.
func TestNamesOfFamilies(t *testing.T) {
	w := New(t)
	w.Apply(families + `
---
{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: legacy, namespace: shop}, spec: {hosts: [legacy.example.com], ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}], resolution: STATIC, location: MESH_EXTERNAL, endpoints: [{address: 10.244.0.1}]}}
`)
	outside := w.Start(Spec{Namespace: "other", Name: "outside-1", IPv6: true})
	outside.ServeEcho(8080)
	web := w.Start(Spec{Namespace: "shop", Name: "web-1", Labels: map[string]string{"app": "web"}, Proxy: node.Sidecar, IPv6: true})
	web.ServeEcho(8080)
	page := w.Start(Spec{Namespace: "shop", Name: "page-1", Proxy: node.Sidecar, IPv6: true})
	address := w.secure()
	page.captureDNS(address, netip.MustParseAddrPort("127.0.0.1:1"))
	old := w.Start(Spec{Namespace: "shop", Name: "old-1", Proxy: node.Sidecar})
	old.captureDNS(address, netip.MustParseAddrPort("127.0.0.1:1"))
	w.Eventually("an answer for a pod without IPv6", func() error {
		four, err := old.Resolve("udp", "web.shop.svc.cluster.local")
		if err != nil || four != "NOERROR 10.96.0.2" {
			return fmt.Errorf("%s, %w", four, err)
		}
		if six, err := old.lookup("udp", clusterDNS, "web.shop.svc.cluster.local", dns.TypeAAAA); err != nil || six != "NOERROR" {
			t.Errorf("a pod without IPv6 is told %s, %v", six, err)
		}
		return nil
	})
	for _, c := range []struct{ server, name, want string }{
		{clusterDNS, "web.shop.svc.cluster.local", "NOERROR fd00:96::2"},
		{clusterDNS6, "web.shop.svc.cluster.local", "NOERROR fd00:96::2"},
		{clusterDNS6, "legacy.example.com", "NOERROR 2001:2::"},
	} {
		var got string
		for _, network := range []string{"udp", "tcp"} {
			w.Eventually(network+" answer about "+c.name, func() (err error) {
				if got, err = page.lookup(network, c.server, c.name, dns.TypeAAAA); err == nil && !strings.HasPrefix(got, c.want) {
					err = fmt.Errorf("%s, want %s", got, c.want)
				}
				return err
			})
		}
		_, addr, _ := strings.Cut(got, " ")
		page.Expect(Call{To: net.JoinHostPort(addr, "80"), URL: "http://" + c.name + "/"}, "200 ")
	}
	w.clean()
}

// clean asks that nothing was refused and nobody was told of a problem.
func (w *World) clean() {
	w.t.Helper()
	if problems := w.Problems(); len(problems) > 0 {
		w.t.Errorf("problems: %q", problems)
	}
}

// serveIPv6 answers like ServeEcho, by IPv6 alone.
func (p *Pod) serveIPv6(port uint16) {
	var l net.Listener
	p.world.must(p.net.do(func() (err error) {
		l, err = net.Listen("tcp6", fmt.Sprintf("[::]:%d", port))
		return err
	}))
	p.world.t.Cleanup(func() { _ = l.Close() })
	server := &http.Server{Handler: p.echo(), ReadHeaderTimeout: Patience}
	go func() { _ = server.Serve(l) }()
	p.world.t.Cleanup(func() { _ = server.Close() })
}
