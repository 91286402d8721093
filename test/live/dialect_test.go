// SPDX-License-Identifier: Apache-2.0

//go:build integration && linux

package live

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/meshwright/meshwright/internal/agent/node"
	"github.com/meshwright/meshwright/internal/ir"
)

// speak sends a request as it is written and gives the whole answer.
func (e *edge) speak(to *Pod, text string) string {
	conn, err := e.client.Dial(to.At(80))
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	if _, err := fmt.Fprint(conn, text); err != nil {
		return err.Error()
	}
	answer, err := io.ReadAll(bufio.NewReader(conn))
	if err != nil {
		return err.Error()
	}
	return string(answer)
}

// TestDialect: HTTP/1.0 and the letters of headers, where the mesh or a pod wants them.
func TestDialect(t *testing.T) {
	e := newEdge(t, func(m *ir.Mesh) { m.Dialect.PreserveCase = true })
	e.Apply(gateway("web", plain))
	e.start()
	old := e.Start(Spec{
		Namespace: RootNamespace, Name: "old-1", Labels: map[string]string{"istio": "ingress"}, Proxy: node.Router,
		Metadata: map[string]string{"HTTP10": "1"},
		Annotations: map[string]string{
			"proxy.istio.io/config": "{gatewayTopology: {numTrustedProxies: 1}, proxyHeaders: {preserveHttp1HeaderCase: true, server: {value: shop}, xForwardedPort: {enabled: true}}}",
		},
	})
	cart := e.Start(Spec{Namespace: "shop", Name: "letters-1", Labels: map[string]string{"app": "letters"}})
	listener := cart.Listen(":8080")
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				var got strings.Builder
				for lines := bufio.NewReader(conn); ; {
					line, err := lines.ReadString('\n')
					if err != nil || line == "\r\n" {
						break
					}
					got.WriteString(line)
				}
				_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nX-ANSWER: a\r\nServer: own\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", got.Len(), got.String())
			}()
		}
	}()
	e.Apply(`{apiVersion: v1, kind: Service, metadata: {name: letters, namespace: shop}, spec: {clusterIP: 10.96.0.2, selector: {app: letters}, ports: [{name: http, port: 80, targetPort: 8080}]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: letters, namespace: shop}
spec:
  hosts: [letters.example.com]
  gateways: [web]
  http:
  - route: [{destination: {host: letters}}]
`)
	const headers = "Host: letters.example.com\r\nX-LETTERS: a\r\nX-Forwarded-For: 192.0.2.1\r\nConnection: close\r\n\r\n"
	for _, to := range []*Pod{e.ingress, old} {
		e.Eventually("letters are kept by "+to.Name, func() error {
			if got := e.speak(to, "GET / HTTP/1.1\r\n"+headers); !strings.Contains(got, "\nX-ANSWER: a") || !strings.Contains(got, "\nX-LETTERS: a") {
				return fmt.Errorf("got %q", got)
			}
			return nil
		})
	}
	if got := e.speak(e.ingress, "GET / HTTP/1.0\r\n"+headers); !strings.HasPrefix(got, "HTTP/1.1 426") {
		t.Errorf("HTTP/1.0 got %q", got)
	}
	got := e.speak(old, "GET / HTTP/1.0\r\n"+headers)
	for _, want := range []string{"HTTP/1.0 200", "erver: shop", "-For: 192.0.2.1,", "-port: 80", "192.0.2.1"} {
		if !strings.Contains(strings.ToLower(got), strings.ToLower(want)) {
			t.Errorf("the gateway with an annotation lacks %q: %q", want, got)
		}
	}
	if got := e.speak(e.ingress, "GET / HTTP/1.1\r\n"+headers); strings.Contains(strings.ToLower(got), "x-forwarded-port") || !strings.Contains(got, "Server: own") {
		t.Errorf("the gateway without one got %q", got)
	}
}

// TestCertParts: a pod says what its application is told of the certificates of clients.
func TestCertParts(t *testing.T) {
	w := New(t)
	w.Apply(shop)
	w.Start(Spec{
		Namespace: "shop", Name: "cart-1", Labels: map[string]string{"app": "cart"}, Proxy: node.Sidecar,
		Annotations: map[string]string{"proxy.istio.io/config": "proxyHeaders: {setCurrentClientCertDetails: {subject: false, dns: false, chain: true}}"},
	}).ServeEcho(8080)
	page := w.Start(Spec{Namespace: "shop", Name: "page-1", Proxy: node.Sidecar})
	got := page.Expect(Call{To: "10.96.0.1:80", URL: "http://cart/"}, "200 cart-1").Echo().Header.Get("X-Forwarded-Client-Cert")
	for part, want := range map[string]bool{"Hash=": true, "URI=spiffe://": true, "Chain=": true, "Subject=": false, "Cert=": false, "DNS=": false} {
		if strings.Contains(got, part) != want {
			t.Errorf("%s is told: %v, want %v: %s", part, !want, want, got)
		}
	}
}

const rewritten = `
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: cart, namespace: shop}, spec: {hosts: [cart], http: [
{match: [{uri: {prefix: /rewritten}}], rewrite: {authority: other}, route: [{destination: {host: cart}}]},
{match: [{uri: {prefix: /set}}], route: [{destination: {host: cart}, headers: {request: {set: {Host: other}}}}]},
{route: [{destination: {host: cart}}]}]}}
`

// TestToldHost: the mesh wants the former host of a request kept and attempts not
// counted; without such words it is the other way round.
func TestToldHost(t *testing.T) {
	for _, said := range []bool{true, false} {
		t.Run(fmt.Sprint(said), func(t *testing.T) {
			w := New(t, func(m *ir.Mesh) { m.Dialect.TellHost, m.Dialect.NoAttempts = said, said })
			w.Apply(shop)
			w.Apply(rewritten)
			w.Start(Spec{Namespace: "shop", Name: "cart-1", Labels: map[string]string{"app": "cart"}, Proxy: node.Sidecar}).ServeEcho(8080)
			page := w.Start(Spec{Namespace: "shop", Name: "page-1", Proxy: node.Sidecar})
			for path, rewrites := range map[string]bool{"/rewritten": true, "/set": true, "/": false} {
				echo := page.Expect(Call{To: "10.96.0.1:80", URL: "http://cart" + path}, "200 cart-1").Echo()
				told, counted := echo.Header.Get("X-Forwarded-Host"), echo.Header.Get("X-Envoy-Attempt-Count")
				if want := said && rewrites; (told == "cart") != want || !want && told != "" {
					t.Errorf("%s: the former host is told as %q", path, told)
				}
				if (counted == "") != said {
					t.Errorf("%s: attempts are counted as %q", path, counted)
				}
				if rewrites != (echo.Host == "other") {
					t.Errorf("%s: the host is %q", path, echo.Host)
				}
			}
		})
	}
}
