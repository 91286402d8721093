// SPDX-License-Identifier: Apache-2.0

//go:build integration && linux

package live

import (
	"crypto/tls"
	"testing"

	"github.com/meshwright/meshwright/internal/ir"
)

// TestIngress serves an Ingress of Kubernetes, in plaintext and by TLS.
func TestIngress(t *testing.T) {
	e := newEdge(t, func(m *ir.Mesh) {
		m.Ingress = ir.IngressSettings{
			Mode: ir.IngressStrict, Class: "istio", Selector: ir.NewLabels(map[string]string{"istio": "ingress"}),
		}
	})
	e.Secret(RootNamespace, "cert", NewAuthority(t, "servers").Issue(Leaf{DNS: []string{"*.example.com"}}).Secret())
	e.Apply(`
{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: mesh}, spec: {controller: istio.io/ingress-controller}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: cart, namespace: shop}
spec:
  ingressClassName: mesh
  tls: [{hosts: [cart.example.com], secretName: cert}]
  rules:
  - host: cart.example.com
    http: {paths: [{path: /cart, pathType: Prefix, backend: {service: {name: cart, port: {name: http}}}}]}
`)
	e.start()
	for url, want := range map[string]string{
		"http://cart.example.com/cart":   "200 cart-1",
		"http://cart.example.com/cart/1": "200 cart-1",
		"http://cart.example.com/carts":  "404",
		"http://other.example.com/cart":  "404",
	} {
		e.client.Expect(Call{To: e.ingress.At(80), URL: url}, want)
	}
	call := e.call("cart", &tls.Config{})
	call.URL += "cart"
	e.client.Expect(call, "200 cart-1")
}
