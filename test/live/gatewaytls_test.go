// SPDX-License-Identifier: Apache-2.0

//go:build integration && linux

package live

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meshwright/meshwright/internal/agent/node"
	"github.com/meshwright/meshwright/internal/ir"
)

// edge is a gateway with an upstream and a client outside the mesh.
type edge struct {
	*World
	ingress, client *Pod
}

const upstream = `
{apiVersion: v1, kind: Service, metadata: {name: cart, namespace: shop}, spec: {clusterIP: 10.96.0.1, selector: {app: cart}, ports: [{name: http, port: 80, targetPort: 8080}]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart, namespace: shop}
spec:
  hosts: ["*"]
  gateways: [web]
  http:
  - route: [{destination: {host: cart}}]
`

// gateway is a Gateway of ingress pods with servers as lines of YAML.
func gateway(name string, servers ...string) string {
	return fmt.Sprintf("apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: %s, namespace: shop}\nspec:\n  selector: {istio: ingress}\n  servers:\n  - %s\n",
		name, strings.Join(servers, "\n  - "))
}

func https(name, tls string) string {
	return fmt.Sprintf("{port: {number: 443, name: %s, protocol: HTTPS}, hosts: [%s.example.com], tls: {%s}}", name, name, tls)
}

// newEdge starts the upstream and the client; the gateway starts with start, once
// what it is to find was applied.
func newEdge(t *testing.T, options ...func(*ir.Mesh)) *edge {
	w := New(t, options...)
	w.Apply(upstream)
	w.Start(Spec{Namespace: "shop", Name: "cart-1", Labels: map[string]string{"app": "cart"}}).ServeEcho(8080)
	return &edge{World: w, client: w.Start(Spec{Namespace: "other", Name: "client-1"})}
}

func (e *edge) start() {
	e.ingress = e.Start(Spec{Namespace: RootNamespace, Name: "ingress-1", Labels: map[string]string{"istio": "ingress"}, Proxy: node.Router})
}

// call is a request to NAME.example.com with a client certificate, if any.
func (e *edge) call(name string, base *tls.Config, certificates ...Pair) Call {
	config := base.Clone()
	if config == nil {
		config = &tls.Config{}
	}
	if len(certificates) > 0 {
		// Whatever the server asks for: Go would keep back a certificate of a CA that it does not name.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &certificates[0].TLS()[0], nil
		}
	}
	config.InsecureSkipVerify = true
	return Call{To: e.ingress.At(443), URL: "https://" + name + ".example.com/", TLS: config}
}

func TestGatewayModes(t *testing.T) {
	e := newEdge(t)
	servers, clients, strangers := NewAuthority(t, "servers"), NewAuthority(t, "clients"), NewAuthority(t, "strangers")
	right := clients.Issue(Leaf{DNS: []string{"a.example.com"}, URI: "spiffe://example.com/a"})
	other := clients.Issue(Leaf{DNS: []string{"b.example.com"}})
	revoked := clients.Issue(Leaf{DNS: []string{"c.example.com"}})
	wrong := strangers.Issue(Leaf{DNS: []string{"a.example.com"}})
	member := e.Identity("shop", "cart")

	secret := servers.Issue(Leaf{DNS: []string{"*.example.com"}}).Secret()
	e.Secret(RootNamespace, "cert", secret)
	e.Secret(RootNamespace, "elsewhere", secret)
	e.Secret(RootNamespace, "elsewhere-cacert", map[string][]byte{"cacert": clients.PEM()})
	e.Secret(RootNamespace, "ca", map[string][]byte{"ca.crt": clients.PEM()})
	e.Secret(RootNamespace, "ca-list", map[string][]byte{"ca.crt": clients.PEM(), "ca.crl": clients.Revoke(revoked)})
	secret = servers.Issue(Leaf{DNS: []string{"*.example.com"}}).Secret()
	secret["ca.crt"] = clients.PEM()
	e.Secret(RootNamespace, "both", secret)
	e.Secret(RootNamespace, "rsa", servers.Issue(Leaf{DNS: []string{"*.example.com"}, RSA: true}).Secret())

	w := func(name string, content []byte) string {
		path := filepath.Join(e.dir, name)
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pair := servers.Issue(Leaf{DNS: []string{"*.example.com"}})
	files := fmt.Sprintf("mode: MUTUAL, serverCertificate: %s, privateKey: %s, caCertificates: %s, caCrl: %s",
		w("tls.crt", pair.Certificate), w("tls.key", pair.Key), w("ca.crt", clients.PEM()), w("list.pem", clients.Revoke(revoked)))
	spki := sha256.Sum256(right.Leaf.RawSubjectPublicKeyInfo)
	hash := sha256.Sum256(right.Leaf.Raw)

	e.Apply(gateway("web",
		https("simple", "mode: SIMPLE, credentialName: cert"),
		https("mutual", "mode: MUTUAL, credentialName: both"),
		https("beside", "mode: MUTUAL, credentialName: elsewhere"),
		https("named", "mode: MUTUAL, credentialName: cert, caCertCredentialName: ca"),
		https("revoked", "mode: MUTUAL, credentialName: cert, caCertCredentialName: ca-list"),
		https("optional", "mode: OPTIONAL_MUTUAL, credentialName: both"),
		https("lax", "mode: OPTIONAL_MUTUAL, credentialName: both, insecureSkipVerify: true"),
		https("mesh", "mode: ISTIO_MUTUAL"),
		https("mesh-name", "mode: ISTIO_MUTUAL, subjectAltNames: [spiffe://cluster.local/ns/shop/sa/page]"),
		https("san", "mode: MUTUAL, credentialName: both, subjectAltNames: [a.example.com]"),
		https("san-uri", "mode: MUTUAL, credentialName: both, subjectAltNames: ['spiffe://example.com/a']"),
		https("spki", fmt.Sprintf("mode: MUTUAL, credentialName: both, verifyCertificateSpki: ['%s']", base64.StdEncoding.EncodeToString(spki[:]))),
		https("hash", fmt.Sprintf("mode: MUTUAL, credentialName: both, verifyCertificateHash: ['%s']", hex.EncodeToString(hash[:]))),
		https("two", "mode: SIMPLE, credentialNames: [cert, rsa]"),
		https("one-of-two", "mode: SIMPLE, credentialNames: [none, rsa]"),
		https("new", "mode: SIMPLE, credentialName: cert, minProtocolVersion: TLSV1_3"),
		https("old", "mode: SIMPLE, credentialName: rsa, maxProtocolVersion: TLSV1_1"),
		https("cipher", "mode: SIMPLE, credentialName: rsa, maxProtocolVersion: TLSV1_2, cipherSuites: [ECDHE-RSA-AES256-GCM-SHA384]"),
		https("files", files),
		https("no-files", "mode: SIMPLE, serverCertificate: /nowhere/tls.crt, privateKey: /nowhere/tls.key"),
		https("missing", "mode: SIMPLE, credentialName: none"),
	))
	e.start()
	e.client.Expect(e.call("simple", &tls.Config{}), "200 cart-1")

	const ok, no = "200 cart-1", "error: "
	only := func(v uint16, suites ...uint16) *tls.Config {
		return &tls.Config{MinVersion: v, MaxVersion: v, CipherSuites: suites}
	}
	for _, c := range []struct {
		host   string
		config *tls.Config
		with   []Pair
		want   string
	}{
		{"simple", &tls.Config{}, nil, ok},
		{"simple", &tls.Config{}, []Pair{wrong}, ok},
		{"mutual", &tls.Config{}, nil, no},
		{"mutual", &tls.Config{}, []Pair{right}, ok},
		{"mutual", &tls.Config{}, []Pair{wrong}, no},
		{"beside", &tls.Config{}, []Pair{right}, ok},
		{"beside", &tls.Config{}, []Pair{wrong}, no},
		{"named", &tls.Config{}, []Pair{right}, ok},
		{"named", &tls.Config{}, []Pair{wrong}, no},
		{"named", &tls.Config{}, []Pair{revoked}, ok},
		{"revoked", &tls.Config{}, []Pair{right}, ok},
		{"revoked", &tls.Config{}, []Pair{revoked}, no},
		{"optional", &tls.Config{}, nil, ok},
		{"optional", &tls.Config{}, []Pair{right}, ok},
		{"optional", &tls.Config{}, []Pair{wrong}, no},
		{"lax", &tls.Config{}, []Pair{wrong}, ok},
		{"mesh", &tls.Config{}, nil, no},
		{"mesh", &tls.Config{}, []Pair{right}, no},
		{"mesh", &tls.Config{}, []Pair{member}, ok},
		{"mesh-name", &tls.Config{}, []Pair{member}, no},
		{"mesh-name", &tls.Config{}, []Pair{e.Identity("shop", "page")}, ok},
		{"san", &tls.Config{}, []Pair{right}, ok},
		{"san", &tls.Config{}, []Pair{other}, no},
		{"san", &tls.Config{}, []Pair{wrong}, no},
		{"san-uri", &tls.Config{}, []Pair{right}, ok},
		{"san-uri", &tls.Config{}, []Pair{other}, no},
		{"spki", &tls.Config{}, []Pair{right}, ok},
		{"spki", &tls.Config{}, []Pair{other}, no},
		{"hash", &tls.Config{}, []Pair{right}, ok},
		{"hash", &tls.Config{}, []Pair{other}, no},
		{"two", only(tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256), nil, ok},
		{"one-of-two", only(tls.VersionTLS12, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256), nil, ok},
		{"one-of-two", only(tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256), nil, no},
		{"new", only(tls.VersionTLS13), nil, ok},
		{"new", only(tls.VersionTLS12), nil, no},
		{"simple", only(tls.VersionTLS11), nil, no},
		{"old", only(tls.VersionTLS12), nil, no},
		{"cipher", only(tls.VersionTLS12, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384), nil, ok},
		{"cipher", only(tls.VersionTLS12, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256), nil, no},
		{"files", &tls.Config{}, []Pair{right}, ok},
		{"files", &tls.Config{}, []Pair{wrong}, no},
		{"files", &tls.Config{}, []Pair{revoked}, no},
		{"no-files", &tls.Config{}, nil, no},
		{"missing", &tls.Config{}, nil, no},
	} {
		got := e.client.Call(e.call(c.host, c.config, c.with...))
		if !strings.HasPrefix(got.String(), c.want) {
			t.Errorf("%s with %d certificates and %v: got %s, want %s", c.host, len(c.with), c.config.CipherSuites, got, c.want)
		}
	}
	if got := e.client.Call(e.call("mutual", &tls.Config{}, right)).Echo().Header.Get("X-Forwarded-Client-Cert"); !strings.Contains(got, "spiffe://example.com/a") {
		t.Errorf("the server is told %q of the client's certificate", got)
	}
	for _, want := range []string{"shop/web#one-of-two Programmed CredentialNotFound", "shop/web#missing Programmed CredentialNotFound", "shop/web#no-files Rejected"} {
		e.Eventually("the problem is told", func() error {
			if all := strings.Join(e.Problems(), "\n"); !strings.Contains(all, want) {
				return fmt.Errorf("nothing says %q:\n%s", want, all)
			}
			return nil
		})
	}
}

// TestGatewaySecretLife renews, breaks and mends a Secret under open connections.
func TestGatewaySecretLife(t *testing.T) {
	e := newEdge(t)
	authority := NewAuthority(t, "servers")
	first, second := authority.Issue(Leaf{DNS: []string{"*.example.com"}}), authority.Issue(Leaf{DNS: []string{"*.example.com"}})
	expired := authority.Issue(Leaf{DNS: []string{"*.example.com"}, Expired: true})
	e.Secret(RootNamespace, "renewed", first.Secret())
	e.Secret(RootNamespace, "steady", authority.Issue(Leaf{DNS: []string{"*.example.com"}}).Secret())
	e.Apply(gateway("web", https("renewed", "mode: SIMPLE, credentialName: renewed"), https("steady", "mode: SIMPLE, credentialName: steady")))
	e.start()
	open := func(name string) Call {
		c := e.call(name, &tls.Config{})
		c.Client = e.client.Client(c.To, c.TLS, false)
		e.client.Expect(c, "200 cart-1")
		return c
	}
	kept, steady := open("renewed"), open("steady")
	same := func(c Call, what string) {
		t.Helper()
		var reused bool
		trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused }}
		c.Context = httptrace.WithClientTrace(t.Context(), trace)
		if got := e.client.Call(c); got.String() != "200 cart-1" {
			t.Errorf("%s: %s", what, got)
		}
		if !reused {
			t.Errorf("%s: the connection was not kept", what)
		}
	}
	serving := func(at *Pod, p Pair) error {
		call := e.call("renewed", &tls.Config{})
		call.To = at.At(443)
		got := e.client.Call(call)
		if got.Err != nil {
			return got.Err
		}
		if !got.TLS.PeerCertificates[0].Equal(p.Leaf) {
			return fmt.Errorf("another certificate is shown")
		}
		return nil
	}

	listeners := func() int {
		return e.ingress.Stat("listener_manager.listener_modified") + e.ingress.Stat("listener_manager.listener_in_place_updated")
	}
	many, fresh := e.client.Load(e.call("renewed", &tls.Config{}), 200, "200 cart-1"), e.client.Hammer(e.call("renewed", &tls.Config{}), "200 cart-1")
	started := time.Now()
	e.Secret(RootNamespace, "renewed", second.Secret())
	e.Eventually("the renewed certificate is served", func() error { return serving(e.ingress, second) })
	if took := time.Since(started); took > 5*time.Second {
		t.Errorf("the renewed certificate was served after %s", took)
	}
	same(kept, "a connection of the old certificate")

	broken := second.Secret()
	broken["tls.key"] = first.Key
	for _, c := range []struct {
		reason string
		data   map[string][]byte
	}{{"CredentialInvalid", broken}, {"CredentialNotFound", nil}, {"CredentialInvalid", expired.Secret()}} {
		e.Secret(RootNamespace, "renewed", c.data)
		e.Eventually("the status says "+c.reason, func() error {
			if all := strings.Join(e.Problems(), "\n"); !strings.Contains(all, "shop/web#renewed Programmed "+c.reason) {
				return fmt.Errorf("it says %s", all)
			}
			return nil
		})
		if err := serving(e.ingress, second); err != nil {
			t.Errorf("%s: the last good certificate is not served: %v", c.reason, err)
		}
		same(kept, "a connection of the old certificate")
	}
	late := e.Start(Spec{Namespace: RootNamespace, Name: "late-1", Labels: map[string]string{"istio": "ingress"}, Proxy: node.Router})
	if err := serving(late, second); err != nil {
		t.Errorf("a gateway that starts late does not serve the last good certificate: %v", err)
	}
	e.Secret(RootNamespace, "renewed", first.Secret())
	e.Eventually("the mended Secret is served", func() error { return serving(e.ingress, first) })
	same(steady, "a connection to the other server")
	for what, end := range map[string]func() (int, []string){"kept connections": many, "new connections": fresh} {
		calls, wrong := end()
		if t.Logf("%s: %d calls, %d wrong", what, calls, len(wrong)); len(wrong) > 0 {
			t.Errorf("%s: %q", what, wrong[0])
		}
	}
	if n := listeners(); n != 0 {
		t.Errorf("a Secret changed listeners %d times", n)
	}
}

// TestExpiredCertificate: a Secret that never was good takes its own server away; of
// an expired one clients judge for themselves.
func TestExpiredCertificate(t *testing.T) {
	e := newEdge(t)
	authority := NewAuthority(t, "servers")
	expired := authority.Issue(Leaf{DNS: []string{"*.example.com"}, Expired: true})
	e.Secret(RootNamespace, "expired", expired.Secret())
	e.Apply(gateway("web", https("expired", "mode: SIMPLE, credentialName: expired"), https("missing", "mode: SIMPLE, credentialName: missing")))
	e.start()
	e.client.Expect(e.call("expired", &tls.Config{}), "200 cart-1")
	call := e.call("expired", nil)
	call.TLS = &tls.Config{RootCAs: authority.Pool()}
	if got := e.client.Call(call); got.Err == nil || !strings.Contains(got.Err.Error(), "expired") {
		t.Errorf("a client that checks the certificate gets %s", got)
	}
	if got := e.client.Call(e.call("missing", &tls.Config{})); got.Err == nil {
		t.Errorf("a server without a certificate answers %s", got)
	}
	e.Secret(RootNamespace, "missing", authority.Issue(Leaf{DNS: []string{"*.example.com"}}).Secret())
	e.client.Expect(e.call("missing", &tls.Config{}), "200 cart-1")
	modified, inPlace := e.ingress.Stat("listener_manager.listener_modified"), e.ingress.Stat("listener_manager.listener_in_place_updated")
	if modified == 0 || inPlace != modified {
		t.Errorf("the listener changed %d times, %d times without draining all its connections", modified, inPlace)
	}
}

// TestMisdirected: a connection for one server is no way into another.
func TestMisdirected(t *testing.T) {
	e := newEdge(t)
	servers, clients := NewAuthority(t, "servers"), NewAuthority(t, "clients")
	secret := servers.Issue(Leaf{DNS: []string{"*.example.com"}}).Secret()
	secret["ca.crt"] = clients.PEM()
	e.Secret(RootNamespace, "cert", secret)
	server := func(name, host, tls string) string {
		return fmt.Sprintf("{port: {number: 443, name: %s, protocol: HTTPS}, hosts: ['%s'], tls: {%s, credentialName: cert}}", name, host, tls)
	}
	e.Apply(gateway("web",
		server("any", "*", "mode: SIMPLE"),
		server("wild", "*.example.com", "mode: SIMPLE"),
		server("closed", "closed.example.com", "mode: MUTUAL"),
		server("plain", "plain.example.com", "mode: SIMPLE"),
	))
	e.start()
	certificate := clients.Issue(Leaf{DNS: []string{"a"}})
	for _, c := range []struct {
		name, host string
		with       []Pair
		want       string
	}{
		{"plain.example.com", "plain.example.com", nil, "200 cart-1"},
		{"plain.example.com", "plain.example.com:443", nil, "200 cart-1"},
		{"closed.example.com", "closed.example.com", []Pair{certificate}, "200 cart-1"},
		{"closed.example.com", "plain.example.com", []Pair{certificate}, "421"},
		{"plain.example.com", "closed.example.com", nil, "421"},
		{"plain.example.com", "other.example.com", nil, "421"},
		{"plain.example.com", "example.org", nil, "421"},
		{"other.example.com", "more.example.com", nil, "200 cart-1"},
		{"other.example.com", "closed.example.com", nil, "421"},
		{"example.org", "example.net", nil, "200 cart-1"},
		{"example.org", "closed.example.com", nil, "421"},
		{"example.org", "other.example.com", nil, "421"},
	} {
		call := e.call("x", &tls.Config{ServerName: c.name}, c.with...)
		call.URL = "https://" + c.host + "/"
		e.client.Expect(call, c.want)
	}
	if problems := e.Problems(); len(problems) > 0 {
		t.Errorf("problems: %q", problems)
	}
}
