// SPDX-License-Identifier: Apache-2.0

//go:build integration && linux

package live

import (
	"crypto/tls"
	"fmt"
	"testing"

	"github.com/meshwright/meshwright/internal/agent/node"
	"github.com/meshwright/meshwright/internal/ir"
)

// registryOnly refuses what goes to addresses and names that nobody defined.
func registryOnly(m *ir.Mesh) { m.RegistryOnly = true }

// TestServiceEntries calls hosts of the outside, found in each way, from a mesh that
// refuses everything else.
func TestServiceEntries(t *testing.T) {
	for _, scope := range []ir.DiscoveryScope{ir.ScopeFull, ir.ScopeOnDemand} {
		t.Run(scope.String(), func(t *testing.T) {
			callOutside(t, New(t, registryOnly, func(m *ir.Mesh) { m.DiscoveryScope = scope }))
		})
	}
}

func callOutside(t *testing.T, w *World) {
	t.Helper()
	page := w.Start(Spec{Namespace: "shop", Name: "page-1", Proxy: node.Sidecar})
	first := w.Start(Spec{Namespace: "outside", Name: "first"})
	second := w.Start(Spec{Namespace: "outside", Name: "second"})
	pair := NewAuthority(t, "servers").Issue(Leaf{DNS: []string{"en.wiki.org"}})
	for _, p := range []*Pod{first, second} {
		p.ServeEcho(8080)
		p.serveLines(5432)
		go p.speak(tls.NewListener(p.Listen(":443"), &tls.Config{Certificates: pair.TLS()}))
	}
	page.ServeEcho(9090)
	page.expectGreeting(first.At(5432), nil, "closed")

	w.Apply(fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: static, namespace: shop}
spec:
  hosts: [legacy.corp]
  addresses: [192.0.2.1]
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]
  resolution: STATIC
  endpoints: [{address: %[1]s}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: dns, namespace: shop}
spec:
  hosts: [api.example.com]
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 9090}]
  location: MESH_EXTERNAL
  resolution: DNS
  endpoints: [{address: localhost}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: wiki, namespace: shop}
spec: {hosts: ["*.wiki.org"], ports: [{number: 443, name: tls, protocol: TLS}], location: MESH_EXTERNAL, resolution: NONE}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: one, namespace: shop}
spec:
  hosts: [one.example.com]
  ports: [{number: 5432, name: tcp, protocol: TCP}]
  resolution: STATIC
  endpoints: [{address: %[1]s}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: two, namespace: shop}
spec:
  hosts: [two.example.com]
  ports: [{number: 5432, name: tcp, protocol: TCP}]
  resolution: STATIC
  endpoints: [{address: %[2]s}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: range, namespace: shop}
spec: {hosts: [old.corp], addresses: [10.244.0.0/30], ports: [{number: 80, name: tcp, protocol: TCP}], resolution: NONE}
`, first.IP(), second.IP()))

	page.Expect(Call{To: "192.0.2.1:80", URL: "http://legacy.corp/"}, "200 first")
	page.Expect(Call{To: "203.0.113.1:80", URL: "http://legacy.corp/"}, "200 first")
	page.Expect(Call{To: "203.0.113.1:80", URL: "http://api.example.com/"}, "200 page-1")
	page.Expect(Call{To: "203.0.113.1:80", URL: "http://nobody.example.com/"}, "502")

	page.expectGreeting(first.At(443), named("en.wiki.org"), "outside/first")
	page.expectGreeting(second.At(443), named("de.wiki.org"), "outside/second") // where the application called
	page.expectGreeting(first.At(443), named("wiki.com"), "closed")

	page.expectGreeting(w.Allocated("one.example.com")+":5432", nil, "outside/first")
	page.expectGreeting(w.Allocated("two.example.com")+":5432", nil, "outside/second")
	page.expectGreeting(first.At(5432), nil, "closed")

	// Bytes go to the range, requests on the same port by their name.
	second.serveLines(80)
	page.expectGreeting(second.At(80), nil, "outside/second")
	page.Expect(Call{To: second.At(80), URL: "http://legacy.corp/"}, "200 first")

	// A pattern takes nothing from a host that a proxy has not called yet.
	w.Apply(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: corp, namespace: shop}
spec: {hosts: ["*.corp"], ports: [{number: 80, name: http, protocol: HTTP}], location: MESH_EXTERNAL, resolution: NONE}
`)
	late := w.Start(Spec{Namespace: "shop", Name: "late-1", Proxy: node.Sidecar})
	if got := late.Call(Call{To: "192.0.2.1:80", URL: "http://legacy.corp/"}); got.String() != "200 first" {
		t.Errorf("a new proxy's first call: %s", got)
	}

	// Another name costs the connections of the first none.
	open, err := page.Dial(second.At(80))
	w.must(err)
	w.Apply(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: pay, namespace: shop}
spec: {hosts: [pay.example.com], ports: [{number: 80, name: tls, protocol: TLS}], location: MESH_EXTERNAL, resolution: NONE}
`)
	tlsOnly := NewAuthority(t, "servers").Issue(Leaf{DNS: []string{"pay.example.com"}})
	third := w.Start(Spec{Namespace: "outside", Name: "third"})
	go third.speak(tls.NewListener(third.Listen(":80"), &tls.Config{Certificates: tlsOnly.TLS()}))
	page.expectGreeting(third.At(80), named("pay.example.com"), "outside/third")
	if got, err := ask(open, "still there"); got != "outside/second: still there" {
		t.Errorf("the connection that was open: %q, %v", got, err)
	}
}

// TestWorkloadEntry: a machine that is no pod, with a proxy that insists on mutual TLS,
// serves a host by its WorkloadEntry.
func TestWorkloadEntry(t *testing.T) {
	w := New(t)
	machine := w.Start(Spec{Namespace: "vms", Name: "vm-1", Labels: map[string]string{"app": "vm"}, ServiceAccount: "legacy", Proxy: node.Sidecar})
	machine.ServeEcho(8080)
	page := w.Start(Spec{Namespace: "shop", Name: "page-1", ServiceAccount: "page", Proxy: node.Sidecar})
	call := Call{To: "192.0.2.1:80", URL: "http://vm.corp/"}
	host := func(account string) {
		w.Apply(fmt.Sprintf(`
{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: default, namespace: vms}, spec: {mtls: {mode: STRICT}}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: vm, namespace: vms}
spec:
  hosts: [vm.corp]
  addresses: [192.0.2.1]
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]
  location: MESH_INTERNAL
  resolution: STATIC
  workloadSelector: {labels: {machine: vm}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: vm-1, namespace: vms}
spec: {address: %s, labels: {machine: vm, security.istio.io/tlsMode: istio}, serviceAccount: %s}
`, machine.IP(), account))
	}
	host("legacy")
	page.Expect(call, "200 vm-1")
	host("another")
	page.Expect(call, "503") // it is not who it should be
}
