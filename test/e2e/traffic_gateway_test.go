// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshwright/meshwright/test/e2e/env"
	"github.com/meshwright/meshwright/test/token"
)

// door is a Gateway on a port of the ingress gateway, with a VirtualService of its
// host that leads to a Service.
func door(name, server, http string) string {
	host := name + ".e2e.example"
	return object("Gateway", name, fmt.Sprintf("  selector: {istio: ingressgateway}\n  servers: [{%s, hosts: [%s]}]", server, host)) +
		object("VirtualService", name, fmt.Sprintf("  {hosts: [%s], gateways: [%s], %s}", host, name, http))
}

const (
	plainPort  = "port: {number: 80, name: http, protocol: HTTP}"
	securePort = "port: {number: 443, name: https, protocol: HTTPS}"
	tlsPort    = "port: {number: 443, name: tls, protocol: TLS}"
	toBackend  = "http: [{route: [{destination: {host: backend, port: {number: 8080}}}]}]"
)

// Two Gateways have the same port and hosts of their own.
func testGatewaysShareAPort(t *testing.T) {
	given(t, service("doors-one", "app: echo, version: v1"), service("doors-two", "app: echo, version: v2"),
		door("doors-one", plainPort, "http: [{route: [{destination: {host: doors-one}}]}]"),
		door("doors-two", plainPort, "http: [{route: [{destination: {host: doors-two}}]}]"))
	for host, want := range map[string]string{"doors-one": "v1", "doors-two": "v2"} {
		r := atGateway(t, env.Request{URL: "http://" + host + ".e2e.example/"})
		must(t, ok(r))
		if got := env.VersionField(r.Body); got != want {
			t.Errorf("%s answered by %q, want %s", host, got, want)
		}
	}
	if r := atGateway(t, env.Request{URL: "http://doors-three.e2e.example/"}); r.Code != 404 {
		t.Errorf("a host that no Gateway has: %d, want 404", r.Code)
	}
}

// bodyOf is what an echo server says of a request that came through a gateway.
func bodyOf(r env.Result) (e env.Echo, err error) {
	if err := ok(r); err != nil {
		return e, err
	}
	return e, json.Unmarshal(r.Body, &e)
}

// Each mode of TLS is tried with the certificate that it wants, one of another
// authority, and none.
func testGatewayModes(t *testing.T) {
	ca, err := newAuthority("the doors")
	must(t, err)
	strange, err := newAuthority("somebody else")
	must(t, err)
	served, err := ca.issue("simple.e2e.example", "mutual.e2e.example", "optional.e2e.example", "redirected.e2e.example")
	must(t, err)
	right, err := ca.issue("a friend")
	must(t, err)
	wrong, err := strange.issue("a stranger")
	must(t, err)
	must(t, setSecret(t.Context(), env.MeshNamespace, "e2e-modes", served, ca.PEM))
	outside, err := outsideAuthority()
	must(t, err)
	given(t, door("simple", securePort+", tls: {mode: SIMPLE, credentialName: e2e-modes}", toBackend),
		door("mutual", securePort+", tls: {mode: MUTUAL, credentialName: e2e-modes}", toBackend),
		door("optional", securePort+", tls: {mode: OPTIONAL_MUTUAL, credentialName: e2e-modes}", toBackend),
		door("redirected", plainPort+", tls: {httpsRedirect: true}", toBackend),
		object("Gateway", "passed", "  selector: {istio: ingressgateway}\n  servers: [{"+tlsPort+", tls: {mode: PASSTHROUGH}, hosts: ["+outsideA+"]}]"),
		object("VirtualService", "passed", "  {hosts: ["+outsideA+"], gateways: [passed], tls: [{match: [{sniHosts: ["+outsideA+
			"]}], route: [{destination: {host: outside-a.e2e-plain.svc.cluster.local, port: {number: 8443}}}]}]}"))
	for _, c := range []struct {
		host             string
		authority        *authority
		right, wrong, no bool
	}{
		{"simple.e2e.example", ca, true, true, true},
		{"mutual.e2e.example", ca, true, false, false},
		{"optional.e2e.example", ca, true, false, true},
		{outsideA, outside, true, true, true}, // the server behind asks for any certificate
	} {
		for _, shown := range []struct {
			what string
			own  []pair
			want bool
		}{{"the right certificate", []pair{right}, c.right}, {"a wrong one", []pair{wrong}, c.wrong}, {"none", nil, c.no}} {
			config, err := c.authority.trusts(c.host, shown.own...)
			must(t, err)
			r := atGateway(t, env.Request{URL: "https://" + c.host + "/", TLS: config})
			e, err := bodyOf(r)
			if (err == nil) != shown.want {
				t.Errorf("%s with %s: %v, want an answer: %v", c.host, shown.what, err, shown.want)
			}
			if c.host == outsideA && (e.ServerName != outsideA || e.Client != map[string]string{"the right certificate": "a friend", "a wrong one": "a stranger"}[shown.what]) {
				t.Errorf("passed through with %s: the server saw %q ask for %q", shown.what, e.Client, e.ServerName)
			}
		}
		// A client that trusts another authority goes away.
		config, err := strange.trusts(c.host, right)
		must(t, err)
		var unknown *tls.CertificateVerificationError
		if r := atGateway(t, env.Request{URL: "https://" + c.host + "/", TLS: config}); !errors.As(r.Err, &unknown) {
			t.Errorf("%s showed a certificate of somebody else: %v", c.host, r.Err)
		}
	}
	r := atGateway(t, env.Request{URL: "http://redirected.e2e.example/a?x=1"})
	if got := r.Header.Get("Location"); r.Code != 301 || got != "https://redirected.e2e.example/a?x=1" {
		t.Errorf("plaintext where only TLS is served: %d to %q", r.Code, got)
	}
}

// meshDoor is a host that sidecars reach at the ingress gateway by the mesh's own
// mutual TLS, with a server name.
func meshDoor(name, address, serverName, identity string) string {
	return object("ServiceEntry", name, fmt.Sprintf(`
  hosts: [%s.e2e.example]
  addresses: [%s]
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 443}]
  location: MESH_INTERNAL
  resolution: DNS
  endpoints: [{address: istio-ingressgateway.istio-system.svc.cluster.local}]`, name, address)) +
		object("DestinationRule", name, fmt.Sprintf(
			"  {host: %s.e2e.example, trafficPolicy: {tls: {mode: ISTIO_MUTUAL, sni: %s, subjectAltNames: [%q]}}}", name, serverName, identity))
}

// The mesh's own mutual TLS is ended at the gateway, or passed on to the pod that
// the server name says; who has a certificate of another authority gets in nowhere.
func testGatewayOfTheMesh(t *testing.T) {
	const auto = "outbound_.8080_._.inner.e2e-app.svc.cluster.local"
	given(t, service("inner", "app: echo, version: v1"),
		door("meshed", securePort+", tls: {mode: ISTIO_MUTUAL}", "http: [{route: [{destination: {host: inner}}]}]"),
		object("Gateway", "autos", "  selector: {istio: ingressgateway}\n  servers: [{"+tlsPort+", tls: {mode: AUTO_PASSTHROUGH}, hosts: [inner.e2e-app.svc.cluster.local]}]"),
		meshDoor("meshed", "192.0.2.60", "meshed.e2e.example", "spiffe://cluster.local/ns/istio-system/sa/istio-ingressgateway"),
		meshDoor("auto", "192.0.2.61", auto, "spiffe://cluster.local/ns/e2e-app/sa/server"))
	for name, address := range map[string]string{"meshed": "192.0.2.60", "auto": "192.0.2.61"} {
		e := echoed(t, "http://"+address+"/", "--host="+name+".e2e.example")
		// Each proxy on the way adds whom it was called by; the last is who called the server.
		want := map[string]string{"meshed": "spiffe://cluster.local/ns/istio-system/sa/istio-ingressgateway", "auto": clientSPIFFE}[name]
		if peers := header(e, clientCert); !strings.HasSuffix(peers, "URI="+want) || !strings.Contains(peers, "URI="+clientSPIFFE) || e.Version != "v1" {
			t.Errorf("%s: %s was called by %s, want v1 by %s", name, e.Version, peers, want)
		}
	}
	strange, err := newAuthority("somebody else")
	must(t, err)
	wrong, err := strange.issue("a stranger")
	must(t, err)
	for _, name := range []string{"meshed.e2e.example", auto} {
		config, err := strange.trusts(name, wrong)
		must(t, err)
		config.InsecureSkipVerify = true
		if r := atGateway(t, env.Request{URL: "https://" + name + "/", TLS: config}); r.Err == nil {
			t.Errorf("%s answered %d to a client with a certificate of somebody else", name, r.Code)
		}
	}
}

// A Secret that is replaced is served within 5 s, and no request fails meanwhile.
func testSecretRotation(t *testing.T) {
	const name, host = "e2e-rotated", "rotated.e2e.example"
	ca, err := newAuthority("the doors")
	must(t, err)
	renew := func() {
		p, err := ca.issue(host)
		must(t, err)
		must(t, setSecret(t.Context(), env.MeshNamespace, name, p, nil))
	}
	renew()
	given(t, door("rotated", securePort+", tls: {mode: SIMPLE, credentialName: "+name+"}", toBackend))
	config, err := ca.trusts(host)
	must(t, err)
	served := func() string {
		r := atGateway(t, env.Request{URL: "https://" + host + "/", TLS: config})
		must(t, ok(r))
		return r.TLS.PeerCertificates[0].SerialNumber.String()
	}
	for range 3 {
		old := served()
		renew()
		for begin, calls := time.Now(), 1; served() == old; calls++ {
			if time.Since(begin) > 5*time.Second {
				t.Fatalf("the old certificate was still served 5 s and %d calls after it was replaced", calls)
			}
		}
	}
}

// An Ingress of Kubernetes is served by its paths and told where it is found.
func testKubernetesIngress(t *testing.T) {
	class := "---\napiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: e2e-mesh}\nspec: {controller: istio.io/ingress-controller}\n"
	given(t, service("ingress-one", "app: echo, version: v1"), service("ingress-two", "app: echo, version: v2"), class, `---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: front}
spec:
  ingressClassName: e2e-mesh
  rules:
    - host: ingress.e2e.example
      http:
        paths:
          - {path: /two, pathType: Prefix, backend: {service: {name: ingress-two, port: {number: 8080}}}}
          - {path: /, pathType: Prefix, backend: {service: {name: ingress-one, port: {name: http}}}}
`)
	address, err := cluster.Address(t.Context(), changeLimit, env.MeshNamespace, env.IngressGateway)
	must(t, err)
	must(t, env.Eventually(t.Context(), changeLimit, "the address of the Ingress", func(ctx context.Context) error {
		in, err := cluster.Kube.NetworkingV1().Ingresses(appSpace).Get(ctx, "front", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if got := in.Status.LoadBalancer.Ingress; len(got) != 1 || got[0].IP != address {
			return fmt.Errorf("its status has %v, want %s", got, address)
		}
		return nil
	}))
	for path, want := range map[string]string{"/two/x": "v2", "/twofold": "v1", "/": "v1"} {
		sendTo(t, env.Request{URL: "http://ingress.e2e.example" + path, Address: address + ":80"}, func(r env.Result) error {
			if err := ok(r); err != nil {
				return err
			}
			if got := env.VersionField(r.Body); got != want {
				return fmt.Errorf("%s answered by %q, want %s", path, got, want)
			}
			return nil
		})
	}
}

// A reverse proxy that knows nothing of the mesh takes requests from outside
// itself, and its sidecar sends them on by mutual TLS and the rules of the mesh.
func testThirdPartyIngress(t *testing.T) {
	given(t, service("edge", "app: edge"), service("behind", "app: echo"),
		object("DestinationRule", "behind", "  {host: behind, subsets: [{name: v2, labels: {version: v2}}]}"),
		object("VirtualService", "behind", `
  hosts: [behind]
  http: [{headers: {request: {set: {x-rule: behind}}}, route: [{destination: {host: behind, subset: v2}}]}]`))
	r, err := callPlain(t.Context(), "http://edge.e2e-app.svc.cluster.local:8080/shop", "--count=20")
	must(t, err)
	must(t, only("v2")(r))
	e, err := r.Echo()
	must(t, err)
	peer, err := identity(e)
	must(t, err)
	if peer != clientSPIFFE || header(e, "X-Rule") != "behind" || !strings.HasPrefix(e.Path, "/shop") {
		t.Errorf("the server was asked for %s by %q with x-rule %q, want /shop by %s", e.Path, peer, header(e, "X-Rule"), clientSPIFFE)
	}
}

// A claim of a verified token chooses the route at the gateway. A request without a
// token has none, and one with a token that somebody else signed gets nowhere.
func testClaims(t *testing.T) {
	users := token.NewIssuer(t, "https://users.e2e.example")
	forged := token.NewIssuer(t, users.Name)
	given(t, service("claims-one", "app: echo, version: v1"), service("claims-two", "app: echo, version: v2"),
		fmt.Sprintf(`---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: claims, namespace: %s}
spec:
  selector: {matchLabels: {istio: ingressgateway}}
  jwtRules: [{issuer: %q, jwks: '%s'}]
`, env.MeshNamespace, users.Name, users.JWKS()),
		door("claims", plainPort, `http: [
    {match: [{headers: {"@request.auth.claims[group]": {exact: dev}}}], route: [{destination: {host: claims-two}}]},
    {route: [{destination: {host: claims-one}}]}]`))
	for _, c := range []struct {
		what   string
		header http.Header
		code   int
		want   string
	}{
		{"no token", nil, 200, "v1"},
		{"of the group", users.Bearer(token.Claims{"group": "dev"}), 200, "v2"},
		{"of that group and others", users.Bearer(token.Claims{"group": []string{"ops", "dev"}}), 200, "v2"},
		{"of another group", users.Bearer(token.Claims{"group": "ops"}), 200, "v1"},
		{"signed by somebody else", forged.Bearer(token.Claims{"group": "dev"}), 401, ""},
	} {
		r := atGateway(t, env.Request{URL: "http://claims.e2e.example/", Header: c.header})
		if got := env.VersionField(r.Body); r.Code != c.code || got != c.want {
			t.Errorf("%s: %d by %q (%v), want %d by %q", c.what, r.Code, got, r.Err, c.code, c.want)
		}
	}
}
