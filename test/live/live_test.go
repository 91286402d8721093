// SPDX-License-Identifier: Apache-2.0

//go:build integration && linux

package live

import (
	"testing"

	"github.com/meshwright/meshwright/internal/agent/node"
)

const shop = `
{apiVersion: v1, kind: Service, metadata: {name: cart, namespace: shop}, spec: {clusterIP: 10.96.0.1, selector: {app: cart}, ports: [{name: http, port: 80, targetPort: 8080}]}}
---
{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: default, namespace: shop}, spec: {mtls: {mode: STRICT}}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web, namespace: shop}
spec:
  selector: {istio: ingress}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example.com]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart, namespace: shop}
spec:
  hosts: [shop.example.com]
  gateways: [web]
  http:
  - route: [{destination: {host: cart}}]
`

// TestMesh proves the harness: a call through a gateway, one from sidecar to
// sidecar by the Service's address, and one without the mesh that is refused. So it is
// when servers, or those who call them, have not been upgraded yet.
func TestMesh(t *testing.T) {
	for name, c := range map[string]struct{ callers, servers bool }{"one version": {}, "previous callers": {callers: true}, "previous servers": {servers: true}} {
		t.Run(name, func(t *testing.T) { meets(t, c.callers, c.servers) })
	}
}

// meets has proxies call each other, callers and servers of the previous version of Envoy or not.
func meets(t *testing.T, callers, servers bool) {
	t.Helper()
	w := New(t)
	w.Apply(shop)
	cart := w.Start(Spec{Namespace: "shop", Name: "cart-1", Labels: map[string]string{"app": "cart"}, Proxy: node.Sidecar, Previous: servers})
	cart.ServeEcho(8080)
	page := w.Start(Spec{Namespace: "shop", Name: "page-1", Labels: map[string]string{"app": "page"}, Proxy: node.Sidecar, Previous: callers})
	ingress := w.Start(Spec{Namespace: RootNamespace, Name: "ingress-1", Labels: map[string]string{"istio": "ingress"}, Proxy: node.Router, Previous: callers})
	outside := w.Start(Spec{Namespace: "other", Name: "client-1"})

	page.Expect(Call{To: "10.96.0.1:80", URL: "http://cart.shop/hello"}, "200 cart-1")
	outside.Expect(Call{To: ingress.At(80), URL: "http://shop.example.com/"}, "200 cart-1")
	outside.Expect(Call{To: ingress.At(80), URL: "http://other.example.com/"}, "404")
	if got := outside.Call(Call{To: cart.At(8080), URL: "http://cart.shop/"}); got.Err == nil {
		t.Errorf("a call without the mesh got %s from a strict server", got)
	}
	if problems := w.Problems(); len(problems) > 0 {
		t.Errorf("problems: %q", problems)
	}
}
