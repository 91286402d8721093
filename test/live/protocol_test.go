// SPDX-License-Identifier: Apache-2.0

//go:build integration && linux

package live

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/meshwright/meshwright/internal/agent/node"
	"github.com/meshwright/meshwright/internal/ir"
)

const protocolServices = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  clusterIP: 10.96.0.2
  selector: {app: web}
  ports:
  - {name: http, port: 80, targetPort: 8080}
  - {name: grpc, port: 90, targetPort: 8081}
  - {name: h2, port: 91, targetPort: 8082, appProtocol: kubernetes.io/h2c}
  - {name: tcp, port: 9000}
---
{apiVersion: v1, kind: Service, metadata: {name: alias, namespace: shop}, spec: {type: ExternalName, externalName: web.shop.svc.cluster.local}}
---
{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: default, namespace: shop}, spec: {mtls: {mode: STRICT}}}
`

// TestProtocols speaks each protocol through two sidecars that speak mutual TLS.
func TestProtocols(t *testing.T) {
	w := New(t)
	w.Apply(protocolServices)
	web := w.Start(Spec{Namespace: "shop", Name: "web-1", Labels: map[string]string{"app": "web"}, Proxy: node.Sidecar})
	for _, port := range []uint16{8080, 8081, 8082} {
		web.Serve(port, http.HandlerFunc(exchange))
	}
	web.serveHalfClosed(9000)
	page := w.Start(Spec{Namespace: "shop", Name: "page-1", Proxy: node.Sidecar})

	for _, c := range []struct {
		call Call
		want string
	}{
		{Call{To: "10.96.0.2:80", URL: "http://web/"}, "200 HTTP/1.1 0 bytes"},
		{Call{To: "10.96.0.2:80", URL: "http://web/", HTTP2: true}, "200 HTTP/1.1 0 bytes"}, // the port says what its server speaks
		{Call{To: "10.96.0.2:80", URL: "http://alias/"}, "200 HTTP/1.1 0 bytes"},
		{Call{To: "10.96.0.2:90", URL: "http://web:90/", HTTP2: true}, "200 HTTP/2.0 0 bytes"},
		{Call{To: "10.96.0.2:91", URL: "http://web:91/", HTTP2: true}, "200 HTTP/2.0 0 bytes"},
		{Call{To: "10.96.0.2:80", URL: "http://web/", Method: "POST", Body: strings.Repeat("x", 8<<20)}, "200 HTTP/1.1 8388608 bytes"},
		{Call{To: "10.96.0.2:90", URL: "http://web:90/", Method: "POST", Body: strings.Repeat("x", 8<<20), HTTP2: true}, "200 HTTP/2.0 8388608 bytes"},
		{Call{To: "10.96.0.2:80", URL: "http://web/", Header: http.Header{"X-Long": {strings.Repeat("x", 30<<10)}}}, "200 HTTP/1.1 0 bytes"},
		{Call{To: "10.96.0.2:80", URL: "http://web/", Header: http.Header{"X-Long": {strings.Repeat("x", 90<<10)}}}, "431"},
		{Call{To: "10.96.0.2:80", URL: "http://web/", Method: "POST", Body: "hi", Header: http.Header{"Expect": {"100-continue"}}}, "200 HTTP/1.1 2 bytes"},
	} {
		page.Expect(c.call, c.want)
	}
	if got := page.Call(Call{To: "10.96.0.2:90", URL: "http://web:90/", HTTP2: true}); got.Trailer.Get("Grpc-Status") != "7" {
		t.Errorf("the trailers are %v, want the status that the server set", got.Trailer)
	}
	if got := page.upgraded("10.96.0.2:80"); got != "echo: hello" {
		t.Errorf("after the upgrade: %q", got)
	}
	if got := page.halfClosed("10.96.0.2:9000"); got != "got 5 bytes" {
		t.Errorf("after the client had closed its half: %q", got)
	}
}

const undeclared = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  clusterIP: 10.96.0.2
  selector: {app: web}
  ports: [{name: one, port: 7000}, {name: two, port: 7001}]
---
{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: MODE, namespace: shop}, spec: {mtls: {mode: MODE}}}
`

// TestDetection speaks HTTP/1, HTTP/2 and what is neither on ports that do not say
// what they carry, to a server that insists on mutual TLS and to one that does not,
// from inside and outside of the mesh.
func TestDetection(t *testing.T) {
	for _, mode := range []string{"STRICT", "PERMISSIVE"} {
		t.Run(mode, func(t *testing.T) {
			w := New(t, func(m *ir.Mesh) { m.Detection = ir.DefaultDetection })
			w.Apply(strings.ReplaceAll(undeclared, "MODE", mode))
			web := w.Start(Spec{Namespace: "shop", Name: "web-1", Labels: map[string]string{"app": "web"}, Proxy: node.Sidecar})
			web.ServeEcho(7000)
			web.serveLines(7001)
			page := w.Start(Spec{Namespace: "shop", Name: "page-1", Proxy: node.Sidecar})
			for _, http2 := range []bool{false, true} {
				got := page.Expect(Call{To: "10.96.0.2:7000", URL: "http://any.name/", HTTP2: http2}, "200 web-1").Echo()
				if want := map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"}[http2]; got.Proto != want {
					t.Errorf("the server got %s, want %s", got.Proto, want)
				}
				if got.Header.Get("X-Request-Id") == "" || got.Header.Get("X-Forwarded-Client-Cert") == "" {
					t.Errorf("the proxies did not read the request: %v", got.Header)
				}
			}
			page.expectLine("10.96.0.2:7001", "shop/web-1") // the server speaks first
			if got := page.tell("10.96.0.2:7001"); got != "shop/web-1: hello" {
				t.Errorf("the client speaks first: %q", got)
			}
			if mode == "STRICT" {
				return
			}
			outside := w.Start(Spec{Namespace: "shop", Name: "outside-1"})
			if got := outside.Expect(Call{To: web.At(7000), URL: "http://any.name/"}, "200 web-1").Echo(); got.Header.Get("X-Request-Id") == "" {
				t.Errorf("the proxy did not read the request in plaintext: %v", got.Header)
			}
			if got := outside.tell(web.At(7001)); got != "shop/web-1: hello" {
				t.Errorf("bytes in plaintext: %q", got)
			}
		})
	}
}

// exchange says how a request came and how large it was. It sets a trailer, and
// echoes lines after an upgrade.
func exchange(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") == "websocket" {
		conn, both, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		line, _ := both.ReadString('\n')
		_, _ = io.WriteString(conn, "echo: "+line)
		return
	}
	n, _ := io.Copy(io.Discard, r.Body)
	w.Header().Set("Trailer", "Grpc-Status")
	_, _ = fmt.Fprintf(w, "%s %d bytes", r.Proto, n)
	w.Header().Set("Grpc-Status", "7")
}

// tell sends a line at once and returns the answer to it, which follows the greeting.
func (p *Pod) tell(to string) string {
	conn, err := p.Dial(to)
	p.world.must(err)
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, "hello\n")
	p.world.must(err)
	lines := bufio.NewScanner(conn)
	lines.Scan()
	lines.Scan()
	return lines.Text()
}

func (p *Pod) upgraded(to string) string {
	conn, err := p.Dial(to)
	p.world.must(err)
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	p.world.must(err)
	both := bufio.NewReader(conn)
	resp, err := http.ReadResponse(both, nil)
	p.world.must(err)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return resp.Status
	}
	_, err = io.WriteString(conn, "hello\n")
	p.world.must(err)
	line, _ := both.ReadString('\n')
	return strings.TrimSpace(line)
}

// serveHalfClosed reads until the client ends its half, and answers then.
func (p *Pod) serveHalfClosed(port uint16) {
	l := p.Listen(fmt.Sprintf(":%d", port))
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			n, _ := io.Copy(io.Discard, conn)
			_, _ = fmt.Fprintf(conn, "got %d bytes", n)
			_ = conn.Close()
		}
	}()
}

func (p *Pod) halfClosed(to string) string {
	conn, err := p.Dial(to)
	p.world.must(err)
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, "hello")
	p.world.must(err)
	p.world.must(conn.(*net.TCPConn).CloseWrite())
	answer, _ := io.ReadAll(conn)
	return string(answer)
}
