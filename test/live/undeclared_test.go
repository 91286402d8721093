// SPDX-License-Identifier: Apache-2.0

//go:build integration && linux

package live

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/meshwright/meshwright/internal/agent/node"
	"github.com/meshwright/meshwright/internal/ir"
)

const undeclaredTLS = `
apiVersion: v1
kind: Service
metadata: {name: vault, namespace: shop}
spec:
  clusterIP: 10.96.0.2
  selector: {app: vault}
  ports: [{name: one, port: 7000}, {name: two, port: 7001}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: vault, namespace: shop}
spec: {host: vault, trafficPolicy: {tls: {mode: SIMPLE, insecureSkipVerify: true}}}
`

// TestUndeclaredTLS begins TLS on ports that do not say what they carry, to servers
// that refuse every protocol name but their own: Go's do.
func TestUndeclaredTLS(t *testing.T) {
	w := New(t, func(m *ir.Mesh) { m.Detection = ir.DefaultDetection })
	w.Apply(undeclaredTLS)
	vault := w.Start(Spec{Namespace: "shop", Name: "vault-1", Labels: map[string]string{"app": "vault"}})
	pair := NewAuthority(t, "outside").Issue(Leaf{DNS: []string{"vault"}})
	vault.serveTLS(7000, pair)
	vault.serveSecretLines(7001, pair)
	page := w.Start(Spec{Namespace: "shop", Name: "page-1", Proxy: node.Sidecar})
	for http2, want := range map[bool]string{false: "http/1.1", true: "h2"} {
		got := page.Expect(Call{To: "10.96.0.2:7000", URL: "http://vault:7000/", HTTP2: http2}, "200 vault-1").Echo()
		if got.Header.Get("X-Alpn") != want {
			t.Errorf("the server agreed to %q, want %q", got.Header.Get("X-Alpn"), want)
		}
	}
	if got := page.tell("10.96.0.2:7001"); got != "shop/vault-1: hello" {
		t.Errorf("the answer to bytes is %q", got)
	}
}

// serveTLS is ServeEcho by TLS; what was agreed upon is noted in the request.
func (p *Pod) serveTLS(port uint16, pair Pair) {
	p.world.t.Helper()
	l := p.Listen(fmt.Sprintf(":%d", port))
	server := &http.Server{
		TLSConfig: &tls.Config{Certificates: pair.TLS()}, ReadHeaderTimeout: Patience,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("x-pod", p.Name)
			r.Header.Set("X-Alpn", r.TLS.NegotiatedProtocol)
			r.Header.Set("X-Sni", r.TLS.ServerName)
			_ = json.NewEncoder(w).Encode(Echo{Pod: p.Name, Method: r.Method, Host: r.Host, Path: r.URL.RequestURI(), Proto: r.Proto, Header: r.Header})
		}),
	}
	go func() { _ = server.ServeTLS(l, "", "") }()
	p.world.t.Cleanup(func() { _ = server.Close() })
}

// serveSecretLines greets by TLS, and answers each line; it knows one protocol.
func (p *Pod) serveSecretLines(port uint16, pair Pair) {
	p.world.t.Helper()
	l := tls.NewListener(p.Listen(fmt.Sprintf(":%d", port)), &tls.Config{Certificates: pair.TLS(), NextProtos: []string{"lines"}})
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				name := p.Namespace + "/" + p.Name
				_, _ = io.WriteString(conn, name+"\n")
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					_, _ = io.WriteString(conn, name+": "+lines.Text()+"\n")
				}
			}()
		}
	}()
}
