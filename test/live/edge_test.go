// SPDX-License-Identifier: Apache-2.0

//go:build integration && linux

package live

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meshwright/meshwright/internal/agent/node"
	"github.com/meshwright/meshwright/internal/ir"
)

const plain = "{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}"

// raw sends a request as it is written and gives the status line.
func (e *edge) raw(text string) (string, error) {
	conn, err := e.client.Dial(e.ingress.At(80))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if _, err := fmt.Fprint(conn, text); err != nil {
		return "", err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	return resp.Status, nil
}

// TestBind: servers of one port that are bound to different addresses, and to Unix sockets.
func TestBind(t *testing.T) {
	e := newEdge(t)
	dir, err := os.MkdirTemp("", "bind") //nolint:usetesting // a socket's path must be short
	e.must(err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	e.must(os.Chmod(dir, 0o777)) // the proxy runs as another user
	socket := filepath.Join(dir, "in")
	e.Apply(gateway("web", plain, "{port: {number: 80, name: inside, protocol: HTTP}, hosts: [inside.example.com], bind: 127.0.0.1}",
		"{port: {number: 1, name: socket, protocol: HTTP}, hosts: [socket.example.com], bind: \"unix://"+socket+"\"}"))
	e.start()
	e.client.Expect(Call{To: e.ingress.At(80), URL: "http://outside.example.com/"}, "200 cart-1")
	e.ingress.Expect(Call{To: "127.0.0.1:80", URL: "http://inside.example.com/"}, "200 cart-1")
	e.ingress.Expect(Call{To: "127.0.0.1:80", URL: "http://outside.example.com/"}, "404")
	local := &http.Client{Timeout: Patience, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", socket)
	}}}
	e.ingress.Expect(Call{To: socket, URL: "http://socket.example.com/", Client: local}, "200 cart-1")
	e.ingress.Expect(Call{To: socket, URL: "http://inside.example.com/", Client: local}, "404")
	e.client.Expect(Call{To: e.ingress.At(80), URL: "http://outside.example.com/"}, "200 cart-1")
	e.clean()
}

func TestPathNormalization(t *testing.T) {
	for how, want := range map[ir.PathNormalization]map[string]string{
		ir.PathBase:                  {"/a/../b": "/b", "/a//b/../c": "/a//c", "/a%2fb": "/a%2fb"},
		ir.PathMergeSlashes:          {"/a/../b": "/b", "/a//b/../c": "/a/c", "/a%2fb": "/a%2fb"},
		ir.PathDecodeAndMergeSlashes: {"/a/../b": "/b", "/a//b/../c": "/a/c", "/a%2fb": "/a/b"},
		ir.PathAsIs:                  {"/a/../b": "/a/../b", "/a//b/../c": "/a//b/../c", "/a%2fb": "/a%2fb"},
	} {
		e := newEdge(t, func(m *ir.Mesh) { m.Paths = how })
		e.Apply(gateway("web", plain))
		e.start()
		for sent, seen := range want {
			e.client.Expect(Call{To: e.ingress.At(80), URL: "http://example.com/"}, "200")
			got := e.client.Call(Call{To: e.ingress.At(80), URL: "http://example.com", Opaque: sent}).Echo().Path
			if got != seen {
				t.Errorf("normalization %d: %s arrives as %s, want %s", how, sent, got, seen)
			}
		}
	}
}

// TestTrustedProxies: the client's address is what the trusted proxies say, and no
// more than that.
func TestTrustedProxies(t *testing.T) {
	for trusted, want := range map[uint32]string{0: "10.244.0.2", 1: "192.0.2.2", 2: "192.0.2.1"} {
		e := newEdge(t, func(m *ir.Mesh) { m.Edge.TrustedProxies = trusted })
		e.Apply(gateway("web", plain))
		e.start()
		call := Call{To: e.ingress.At(80), URL: "http://example.com/", Header: http.Header{"X-Forwarded-For": {"192.0.2.1, 192.0.2.2"}}}
		if got := e.client.Expect(call, "200").Echo().Header.Get("X-Envoy-External-Address"); got != want {
			t.Errorf("%d trusted proxies: the client is %q, want %q", trusted, got, want)
		}
	}
}

func TestProxyProtocol(t *testing.T) {
	e := newEdge(t, func(m *ir.Mesh) { m.Edge.ProxyProtocol = true })
	e.Apply(gateway("web", plain))
	e.start()
	const request = "GET / HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n"
	e.Eventually("a connection with a header is served", func() error {
		if got, err := e.raw("PROXY TCP4 192.0.2.7 10.244.0.3 1234 80\r\n" + request); err != nil || !strings.HasPrefix(got, "200") {
			return fmt.Errorf("got %q, %w", got, err)
		}
		return nil
	})
	if got, err := e.raw(request); err == nil {
		t.Errorf("a connection without a header got %s", got)
	}
}

// TestClientCertificateIsPassedOn: an application behind a gateway and its own
// sidecar sees both hops; what a client writes itself is never believed.
func TestClientCertificateIsPassedOn(t *testing.T) {
	const forged = "URI=spiffe://cluster.local/ns/root/sa/admin"
	for how, want := range map[ir.ClientCertForwarding][]string{
		ir.CertSanitizeSet: {"spiffe://example.com/a", "spiffe://cluster.local/ns/istio-system/sa/ingress"},
		ir.CertSanitize:    {"spiffe://cluster.local/ns/istio-system/sa/ingress"},
	} {
		w := New(t, func(m *ir.Mesh) { m.Edge.ClientCert = how })
		w.Apply(upstream)
		w.Start(Spec{Namespace: "shop", Name: "cart-1", Labels: map[string]string{"app": "cart"}, Proxy: node.Sidecar}).ServeEcho(8080)
		e := &edge{World: w, client: w.Start(Spec{Namespace: "other", Name: "client-1"})}
		clients := NewAuthority(t, "clients")
		secret := NewAuthority(t, "servers").Issue(Leaf{DNS: []string{"*.example.com"}}).Secret()
		secret["ca.crt"] = clients.PEM()
		e.Secret(RootNamespace, "cert", secret)
		e.Apply(gateway("web", plain, https("mutual", "mode: MUTUAL, credentialName: cert")))
		e.ingress = e.Start(Spec{
			Namespace: RootNamespace, Name: "ingress-1", ServiceAccount: "ingress", Labels: map[string]string{"istio": "ingress"}, Proxy: node.Router,
		})
		call := e.call("mutual", nil, clients.Issue(Leaf{URI: "spiffe://example.com/a"}))
		call.Header = http.Header{"X-Forwarded-Client-Cert": {forged}}
		got := e.client.Expect(call, "200 cart-1").Echo().Header.Get("X-Forwarded-Client-Cert")
		for _, id := range want {
			if !strings.Contains(got, id) {
				t.Errorf("forwarding %d: the application sees %q, without %s", how, got, id)
			}
		}
		call.To, call.URL = e.ingress.At(80), "http://mutual.example.com/"
		other := e.client.Expect(call, "200 cart-1").Echo().Header.Get("X-Forwarded-Client-Cert")
		if strings.Contains(got+other, forged) || how == ir.CertSanitize && strings.Contains(got, "example.com/a") {
			t.Errorf("forwarding %d: the application sees %q and %q", how, got, other)
		}
	}
}
