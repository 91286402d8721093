// SPDX-License-Identifier: Apache-2.0

//go:build integration && linux

package live

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/meshwright/meshwright/internal/agent/node"
	"github.com/meshwright/meshwright/internal/ir"
)

const listed = `
{apiVersion: v1, kind: Service, metadata: {name: cart, namespace: shop}, spec: {clusterIP: 10.96.2.1, selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 9042}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: stock, namespace: shop}, spec: {clusterIP: 10.96.2.2, selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 9042}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: reviews, namespace: books}, spec: {clusterIP: 10.96.2.3, selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}}
---
{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: page, namespace: shop}, spec: {workloadSelector: {labels: {app: page}}, egress: [{hosts: [./cart, books/*]}]}}
`

const outside = `
{apiVersion: v1, kind: Service, metadata: {name: egress, namespace: edge}, spec: {clusterIP: 10.96.2.9, selector: {app: egress}, ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 9042}]}}
---
{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: page, namespace: shop}, spec: {workloadSelector: {labels: {app: page}}, outboundTrafficPolicy: {mode: REGISTRY_ONLY}}}
`

const doors = `
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {clusterIP: 10.96.2.7, selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}, {name: http-other, port: 81, targetPort: 8081}, {name: http-any, port: 82, targetPort: 8082}, {name: tcp, port: 9042}, {name: https, port: 443, targetPort: 8443}]}}
---
{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: web, namespace: shop}, spec: {workloadSelector: {labels: {app: web}}, ingress: [{port: {number: 8443, protocol: HTTPS, name: https}, defaultEndpoint: "127.0.0.1:9081", tls: {mode: SIMPLE, serverCertificate: %[2]s, privateKey: %[3]s}}, {port: {number: 8083, protocol: HTTP, name: own}, captureMode: NONE, bind: 0.0.0.0, defaultEndpoint: "unix://%[1]s"}, {port: {number: 8084, protocol: HTTP, name: own-any}, captureMode: NONE, bind: 0.0.0.0, defaultEndpoint: "0.0.0.0:9082"}, {port: {number: 8085, protocol: HTTP, name: own-loopback}, captureMode: NONE, bind: 127.0.0.1, defaultEndpoint: "[::1]:9081"}, {port: {number: 8080, protocol: HTTP, name: http}, defaultEndpoint: "unix://%[1]s"}, {port: {number: 8081, protocol: HTTP, name: other}, defaultEndpoint: "127.0.0.1:9081"}, {port: {number: 8082, protocol: HTTP, name: any}, defaultEndpoint: "0.0.0.0:9082"}]}}
---
{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: web, namespace: shop}, spec: {selector: {matchLabels: {app: web}}, portLevelMtls: {8443: {mode: DISABLE}}}}
`

// TestIngressListeners: connections reach the application where a Sidecar says that it
// is: at a Unix socket, at the loopback address and at another port, by mutual TLS. A
// port that is not listed is still reached. A port of the sidecar's own takes what is not
// captured, and TLS ends at one where the mesh's is off.
func TestIngressListeners(t *testing.T) {
	w := New(t)
	socket := filepath.Join(w.dir, "app.sock")
	certificate, key := w.files(NewAuthority(t, "servers").Issue(Leaf{DNS: []string{"web"}}))
	w.Apply(fmt.Sprintf(doors, socket, certificate, key))
	web := w.Start(Spec{Namespace: "shop", Name: "web-1", Labels: map[string]string{"app": "web"}, Proxy: node.Sidecar})
	listener, err := net.Listen("unix", socket)
	w.must(err)
	w.must(os.Chmod(socket, 0o666)) // the proxy runs as another user
	server := &http.Server{ReadHeaderTimeout: Patience, Handler: http.HandlerFunc(func(to http.ResponseWriter, r *http.Request) {
		fmt.Fprint(to, "by the socket ", strings.Contains(r.Header.Get("x-forwarded-client-cert"), "/ns/shop/"))
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	web.ServeEcho(9081)
	web.ServeEcho(9082)
	web.serveLines(9042)
	page := w.Start(Spec{Namespace: "shop", Name: "page-1", Labels: map[string]string{"app": "page"}, Proxy: node.Sidecar})
	page.Expect(Call{To: "10.96.2.7:80", URL: "http://web/"}, "200 by the socket true")
	page.Expect(Call{To: "10.96.2.7:81", URL: "http://web/"}, "200 web-1")
	page.Expect(Call{To: "10.96.2.7:82", URL: "http://web/"}, "200 web-1")
	page.expectLine("10.96.2.7:9042", "shop/web-1")
	page.Expect(Call{To: "10.96.2.7:443", URL: "https://web/"}, "200 web-1")
	// What a pod sends to itself is not captured.
	web.Expect(Call{To: web.At(8083), URL: "http://web/"}, "200 by the socket false")
	web.Expect(Call{To: web.At(8084), URL: "http://web/"}, "200 web-1")
	web.Expect(Call{To: "127.0.0.1:8085", URL: "http://web/"}, "200 web-1")
	if problems := w.Problems(); len(problems) > 0 {
		t.Errorf("problems: %q", problems)
	}
	if refused := w.Refused(); len(refused) > 0 {
		t.Errorf("refused: %q", refused)
	}
}

const windows = `
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {clusterIP: 10.96.2.7, selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 9042}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: other, namespace: shop}, spec: {clusterIP: 10.96.2.8, selector: {app: other}, ports: [{name: http, port: 80, targetPort: 8080}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: web, namespace: shop}, spec: {hosts: [web], http: [{match: [{uri: {prefix: /ruled}}], directResponse: {status: 418}}, {route: [{destination: {host: web}}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: page, namespace: shop}, spec: {workloadSelector: {labels: {app: page}}, egress: [{port: {number: 80, protocol: HTTP, name: http}, captureMode: NONE, hosts: [%[2]q]}, {port: {number: 9042, protocol: TCP, name: tcp}, captureMode: NONE, bind: 127.0.0.3, hosts: [%[2]q]}, {port: {number: 80, protocol: HTTP, name: socket}, bind: "unix://%[1]s", hosts: [%[2]q]}, {hosts: [%[2]q]}]}}
`

// TestEgressListeners: applications call their sidecar itself, at an address and at a
// socket: requests by their host and its rules, bytes to the one host of the port, by
// mutual TLS; with sidecars that hold what is listed, and with ones that ask.
func TestEgressListeners(t *testing.T) {
	for _, hosts := range []string{"./web", "*/*"} {
		t.Run(hosts, func(t *testing.T) {
			w := New(t)
			socket := filepath.Join(w.dir, "out.sock")
			w.must(os.Chmod(w.dir, 0o777)) // the proxy makes the socket as another user
			w.Apply(fmt.Sprintf(windows, socket, hosts))
			for _, name := range []string{"web", "other"} {
				p := w.Start(Spec{Namespace: "shop", Name: name + "-1", Labels: map[string]string{"app": name}, Proxy: node.Sidecar})
				p.ServeEcho(8080)
				p.serveLines(9042)
			}
			page := w.Start(Spec{Namespace: "shop", Name: "page-1", Labels: map[string]string{"app": "page"}, Proxy: node.Sidecar})
			called := page.Expect(Call{To: "127.0.0.1:80", URL: "http://web/"}, "200 web-1")
			if cert := called.Echo().Header.Get("x-forwarded-client-cert"); !strings.Contains(cert, "/ns/shop/") {
				t.Errorf("the client's certificate is %q", cert)
			}
			page.Expect(Call{To: "127.0.0.1:80", URL: "http://web.shop.svc.cluster.local/ruled"}, "418")
			if hosts == "*/*" {
				page.Expect(Call{To: "127.0.0.1:80", URL: "http://other/"}, "200 other-1")
			} else {
				page.Expect(Call{To: "127.0.0.1:80", URL: "http://other/"}, "503") // passed on to nowhere
			}
			page.expectLine("127.0.0.3:9042", "shop/web-1")
			local := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", socket) }}}
			page.Expect(Call{To: socket, URL: "http://web/", Client: local}, "200 web-1")
			if problems := w.Problems(); len(problems) > 0 {
				t.Errorf("problems: %q", problems)
			}
			if refused := w.Refused(); len(refused) > 0 {
				t.Errorf("refused: %q", refused)
			}
		})
	}
}

// TestUnknownTraffic: what nobody knows is refused or goes to a proxy as a Sidecar says,
// also for sidecars that ask for what they use.
func TestUnknownTraffic(t *testing.T) {
	w := New(t)
	w.Apply(outside)
	egress := w.Start(Spec{Namespace: "edge", Name: "egress-1", Labels: map[string]string{"app": "egress"}, Proxy: node.Sidecar})
	egress.ServeEcho(8080)
	egress.serveLines(9042)
	web := w.Start(Spec{Namespace: "shop", Name: "web-1"}) // of no Service and no mesh
	web.ServeEcho(80)
	web.serveLines(9042)
	page := w.Start(Spec{Namespace: "shop", Name: "page-1", Labels: map[string]string{"app": "page"}, Proxy: node.Sidecar})
	requests, tcp := web.IP().String()+":80", web.IP().String()+":9042"
	page.Expect(Call{To: requests, URL: "http://www.example.com/"}, "502")
	page.Expect(Call{To: web.IP().String() + ":8081", URL: "http://www.example.com/"}, "error")
	set := func(policy string) {
		w.Apply(`{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: page, namespace: shop}, spec: {workloadSelector: {labels: {app: page}}, outboundTrafficPolicy: ` + policy + `}}`)
	}
	set(`{mode: ALLOW_ANY}`)
	page.Expect(Call{To: requests, URL: "http://www.example.com/"}, "200 web-1")
	page.expectLine(tcp, "shop/web-1")
	set(`{mode: ALLOW_ANY, egressProxy: {host: egress.edge.svc.cluster.local, port: {number: 80}}}`)
	page.Expect(Call{To: requests, URL: "http://www.example.com/"}, "200 egress-1")
	page.Expect(Call{To: requests, URL: "http://other.example.com/"}, "200 egress-1")
	set(`{mode: ALLOW_ANY, egressProxy: {host: egress.edge.svc.cluster.local, port: {number: 9042}}}`)
	page.expectLine(tcp, "edge/egress-1")
	page.expectLine("203.0.113.7:4444", "edge/egress-1")
	w.Delete("Sidecar", "shop", "page")
	page.Expect(Call{To: requests, URL: "http://www.example.com/"}, "200 web-1")
	page.expectLine(tcp, "shop/web-1")
	if problems := w.Problems(); len(problems) > 0 {
		t.Errorf("problems: %q", problems)
	}
}

// TestListedHosts: a sidecar holds what its Sidecar lists, for a port or for all, before
// any call and after calls to other hosts; changes of those do not reach it, and an edit
// of the Sidecar ends no connection.
func TestListedHosts(t *testing.T) {
	w := New(t, func(m *ir.Mesh) { m.RegistryOnly = true })
	w.Apply(listed)
	web := w.Start(Spec{Namespace: "shop", Name: "web-1", Labels: map[string]string{"app": "web"}, Proxy: node.Sidecar})
	web.ServeEcho(8080)
	web.serveLines(9042)
	page := w.Start(Spec{Namespace: "shop", Name: "page-1", Labels: map[string]string{"app": "page"}, Proxy: node.Sidecar})
	const cart, tcp, reviews = "outbound|80||cart.shop.svc.cluster.local", "outbound|9042||cart.shop.svc.cluster.local", "outbound|80||reviews.books.svc.cluster.local"
	holds := func(want ...string) {
		t.Helper()
		slices.Sort(want)
		w.Eventually("what the sidecar holds", func() error {
			if got := page.outbound(); !slices.Equal(got, want) {
				return fmt.Errorf("it holds %v, want %v", got, want)
			}
			return nil
		})
	}
	holds(cart, tcp, reviews)
	page.Expect(Call{To: "10.96.2.1:80", URL: "http://cart/"}, "200 web-1")
	page.expectLine("10.96.2.1:9042", "shop/web-1")
	page.Expect(Call{To: "10.96.2.2:80", URL: "http://stock/"}, "502")
	open, err := page.Dial("10.96.2.1:9042")
	w.must(err)
	defer open.Close()
	w.Apply(`{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: page, namespace: shop}, spec: {workloadSelector: {labels: {app: page}}, egress: [{hosts: [./cart, ./stock]}]}}`)
	holds(cart, tcp, "outbound|80||stock.shop.svc.cluster.local", "outbound|9042||stock.shop.svc.cluster.local")
	page.Expect(Call{To: "10.96.2.2:80", URL: "http://stock/"}, "200 web-1")
	page.Expect(Call{To: "10.96.2.3:80", URL: "http://reviews.books/"}, "502")
	w.Apply(`{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: page, namespace: shop}, spec: {workloadSelector: {labels: {app: page}}, egress: [{port: {number: 80, protocol: HTTP, name: http}, hosts: [./stock]}, {hosts: [./cart]}]}}`)
	holds(tcp, "outbound|80||stock.shop.svc.cluster.local") // each at its port alone
	page.Expect(Call{To: "10.96.2.2:80", URL: "http://stock/"}, "200 web-1")
	page.Expect(Call{To: "10.96.2.1:80", URL: "http://cart/"}, "502")
	if got, err := ask(open, "still there"); got != "shop/web-1: still there" {
		t.Errorf("the connection that was open: %q, %v", got, err)
	}
	w.Delete("Sidecar", "shop", "page")
	page.Expect(Call{To: "10.96.2.3:80", URL: "http://reviews.books/"}, "503 no healthy upstream") // it has no pods
	if problems := w.Problems(); len(problems) > 0 {
		t.Errorf("problems: %q", problems)
	}
}

const ruled = `
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: cart, namespace: ops}, spec: {hosts: [cart.shop.svc.cluster.local], http: [{directResponse: {status: 418}}], tcp: [{route: [{destination: {host: none.ops.svc.cluster.local}}]}]}}
`

// TestListedRoutes: routes of a namespace that a Sidecar does not list do not count for
// its sidecar, for requests and for bytes, until it does; nor do they end a connection.
func TestListedRoutes(t *testing.T) {
	w := New(t)
	w.Apply(listed)
	web := w.Start(Spec{Namespace: "shop", Name: "web-1", Labels: map[string]string{"app": "web"}, Proxy: node.Sidecar})
	web.ServeEcho(8080)
	web.serveLines(9042)
	page := w.Start(Spec{Namespace: "shop", Name: "page-1", Labels: map[string]string{"app": "page"}, Proxy: node.Sidecar})
	other := w.Start(Spec{Namespace: "shop", Name: "other-1", Labels: map[string]string{"app": "other"}, Proxy: node.Sidecar})
	open, err := page.Dial("10.96.2.1:9042")
	w.must(err)
	defer open.Close()
	w.Apply(ruled)
	other.Expect(Call{To: "10.96.2.1:80", URL: "http://cart/"}, "418")
	page.Expect(Call{To: "10.96.2.1:80", URL: "http://cart/"}, "200 web-1")
	page.expectLine("10.96.2.1:9042", "shop/web-1")
	if got, err := ask(open, "still there"); got != "shop/web-1: still there" {
		t.Errorf("the connection that was open: %q, %v", got, err)
	}
	w.Apply(`{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: page, namespace: shop}, spec: {workloadSelector: {labels: {app: page}}, egress: [{hosts: [./cart, ops/*]}]}}`)
	page.Expect(Call{To: "10.96.2.1:80", URL: "http://cart/"}, "418")
	w.Apply(`{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: page, namespace: shop}, spec: {workloadSelector: {labels: {app: page}}, egress: [{port: {number: 80, protocol: HTTP, name: http}, hosts: [./cart]}, {hosts: [./cart, ops/*]}]}}`)
	page.Expect(Call{To: "10.96.2.1:80", URL: "http://cart/"}, "200 web-1")
	if refused := w.Refused(); len(refused) > 0 {
		t.Errorf("refused: %q", refused)
	}
}
