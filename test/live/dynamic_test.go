// SPDX-License-Identifier: Apache-2.0

//go:build integration && linux

package live

import (
	"crypto/tls"
	"net/netip"
	"testing"

	"github.com/meshwright/meshwright/internal/agent/node"
	"github.com/meshwright/meshwright/internal/ir"
)

const names = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: names, namespace: shop}
spec:
  hosts: ["*.example.com"]
  ports:
  - {number: 80, name: http, protocol: HTTP, targetPort: 8080}
  - {number: 443, name: tls, protocol: TLS}
  location: MESH_EXTERNAL
  resolution: DYNAMIC_DNS
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: exit, namespace: shop}
spec:
  selector: {istio: exit}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}
  - {port: {number: 443, name: tls, protocol: TLS}, hosts: ["*"], tls: {mode: PASSTHROUGH}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: exit, namespace: shop}
spec:
  hosts: ["*.example.com"]
  gateways: [exit]
  http: [{route: [{destination: {host: "*.example.com", port: {number: 80}}}]}]
  tls: [{match: [{sniHosts: ["*.example.com"]}], route: [{destination: {host: "*.example.com", port: {number: 443}}}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: wide, namespace: shop}
spec:
  hosts: ["*.org"]
  gateways: [exit]
  http: [{route: [{destination: {host: "*.example.com", port: {number: 80}}}]}]
  tls: [{match: [{sniHosts: ["*.org"]}], route: [{destination: {host: "*.example.com", port: {number: 443}}}]}]
`

// TestDynamicNames calls names that only the proxy knows, by requests and by TLS, in
// sidecars and through a gateway; names that nobody listed, and names that lead into the
// pod itself, lead nowhere.
func TestDynamicNames(t *testing.T) {
	for _, scope := range []ir.DiscoveryScope{ir.ScopeFull, ir.ScopeOnDemand} {
		t.Run(scope.String(), func(t *testing.T) {
			callNames(t, New(t, registryOnly, func(m *ir.Mesh) { m.DiscoveryScope = scope }))
		})
	}
}

// TestDynamicRest calls names that nobody listed, where the mesh has its proxies look
// them up: a client that dials the wrong address reaches the right server.
func TestDynamicRest(t *testing.T) {
	for _, scope := range []ir.DiscoveryScope{ir.ScopeFull, ir.ScopeOnDemand} {
		t.Run(scope.String(), func(t *testing.T) {
			w := New(t, func(m *ir.Mesh) { m.DynamicDNS, m.DiscoveryScope = true, scope })
			w.Apply(shop) // so that some host speaks HTTP on the port
			first, second := w.Start(Spec{Namespace: "outside", Name: "first"}), w.Start(Spec{Namespace: "outside", Name: "second"})
			first.ServeEcho(80)
			second.ServeEcho(80)
			w.Name("first.example.com", first.IP())
			w.Name("self.example.com", netip.MustParseAddr("127.0.0.1"))
			page := w.Start(Spec{Namespace: "shop", Name: "page-1", Proxy: node.Sidecar})
			page.ServeEcho(80)
			if got := page.Call(Call{To: second.At(80), URL: "http://first.example.com/"}); got.String() != "200 first" {
				t.Errorf("the first call: %s", got)
			}
			page.Expect(Call{To: second.At(80), URL: "http://first.example.com:8080/"}, "200 first")
			page.Expect(Call{To: second.At(80), URL: "http://" + first.IP().String() + "/"}, "200 second") // an address says nothing new
			for _, host := range []string{"self", "nobody"} {
				if got := page.Call(Call{To: second.At(80), URL: "http://" + host + ".example.com/"}); got.Status != 503 {
					t.Errorf("%s: %s", host, got)
				}
			}
			if refused := w.Refused(); len(refused) > 0 {
				t.Errorf("refused: %q", refused)
			}
		})
	}
}

func callNames(t *testing.T, w *World) {
	t.Helper()
	first, second := w.Start(Spec{Namespace: "outside", Name: "first"}), w.Start(Spec{Namespace: "outside", Name: "second"})
	servers := NewAuthority(t, "servers")
	pair := servers.Issue(Leaf{DNS: []string{"*.example.com", "wide.org"}})
	for name, p := range map[string]*Pod{"first": first, "second": second} {
		p.ServeEcho(8080)
		p.ServeEcho(9999)
		go p.speak(tls.NewListener(p.Listen(":443"), &tls.Config{Certificates: pair.TLS()}))
		w.Name(name+".example.com", p.IP())
	}
	w.Name("self.example.com", netip.MustParseAddr("127.0.0.1"))
	w.Name("self6.example.com", netip.MustParseAddr("::1"))
	w.Name("machine.example.com", netip.MustParseAddr("169.254.169.254"))
	w.Name("wide.org", first.IP())
	w.Apply(names)
	page := w.Start(Spec{Namespace: "shop", Name: "page-1", Proxy: node.Sidecar})
	page.ServeEcho(8080)
	exit := w.Start(Spec{Namespace: RootNamespace, Name: "exit-1", Labels: map[string]string{"istio": "exit"}, Proxy: node.Router})
	exit.ServeEcho(8080)
	client := w.Start(Spec{Namespace: "outside", Name: "client-1"})

	const nowhere = "203.0.113.1"
	for who, to := range map[*Pod]string{page: nowhere, client: exit.IP().String()} {
		who.Expect(Call{To: to + ":80", URL: "http://first.example.com/"}, "200 first")
		who.Expect(Call{To: to + ":80", URL: "http://second.example.com/"}, "200 second")
		who.Expect(Call{To: to + ":80", URL: "http://first.example.com:9999/"}, "200 first") // the port of the rule, not the client's
		for _, host := range []string{"self", "self6", "machine", "nobody"} {
			if got := who.Call(Call{To: to + ":80", URL: "http://" + host + ".example.com/"}); got.Status != 503 {
				t.Errorf("%s calls %s: %s", who.Name, host, got)
			}
		}
		who.expectGreeting(to+":443", named("first.example.com"), "outside/first")
		who.expectGreeting(to+":443", named("second.example.com"), "outside/second")
		who.expectGreeting(to+":443", named("self.example.com"), "closed")
		who.expectGreeting(to+":443", named("nobody.example.com"), "closed")
		who.expectGreeting(to+":443", named("wide.org"), "closed")
	}
	page.Expect(Call{To: nowhere + ":80", URL: "http://wide.org/"}, "502")
	client.Expect(Call{To: exit.At(80), URL: "http://a.wide.org/"}, "500")

	// A name that comes late is found; TLS begins at the proxy where a rule says so.
	w.Name("late.example.com", second.IP())
	page.Expect(Call{To: nowhere + ":80", URL: "http://late.example.com/"}, "200 second")
	w.Secret("shop", "roots", map[string][]byte{"ca.crt": servers.PEM()})
	second.serveTLS(8443, pair)
	w.Apply(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: names, namespace: shop}
spec:
  hosts: ["*.example.com"]
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8443}]
  location: MESH_EXTERNAL
  resolution: DYNAMIC_DNS
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: names, namespace: shop}
spec: {host: "*.example.com", workloadSelector: {matchLabels: {app: page}}, trafficPolicy: {tls: {mode: SIMPLE, credentialName: roots}}}
`)
	secure := w.Start(Spec{Namespace: "shop", Name: "page-2", Labels: map[string]string{"app": "page"}, Proxy: node.Sidecar})
	secure.Expect(Call{To: nowhere + ":80", URL: "http://second.example.com/"}, "200 second")
	stranger := NewAuthority(t, "strangers").Issue(Leaf{DNS: []string{"*.example.com"}})
	first.serveTLS(8443, stranger)
	if got := secure.Call(Call{To: nowhere + ":80", URL: "http://first.example.com/"}); got.Status != 503 {
		t.Errorf("a server of a stranger's certificate: %s", got)
	}
	if refused := w.Refused(); len(refused) > 0 {
		t.Errorf("refused: %q", refused)
	}
}
