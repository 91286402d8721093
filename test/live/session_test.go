// SPDX-License-Identifier: Apache-2.0

//go:build integration && linux

package live

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/meshwright/meshwright/internal/agent/node"
)

// TestSessions: a client that sends back what an answer gave it stays with its server,
// also while that is going away, and gets another one when it is gone.
func TestSessions(t *testing.T) {
	for name, c := range map[string]struct{ label, answer, request, prefix string }{
		"cookie": {"istio.io/persistent-session: at", "Set-Cookie", "Cookie", "at="},
		"header": {"istio.io/persistent-session-header: x-at", "X-At", "X-At", ""},
	} {
		for _, by := range []string{"sidecar", "gateway"} {
			t.Run(name+" by "+by, func(t *testing.T) {
				w := New(t)
				w.Apply(strings.Replace(shop, "{name: cart, namespace: shop}", "{name: cart, namespace: shop, labels: {"+c.label+"}}", 1))
				carts := map[string]*Pod{}
				for i := range 3 {
					p := w.Start(Spec{Namespace: "shop", Name: fmt.Sprintf("cart-%d", i), Labels: map[string]string{"app": "cart"}, Proxy: node.Sidecar})
					p.ServeEcho(8080)
					carts[p.Name] = p
				}
				page := w.Start(Spec{Namespace: "shop", Name: "page-1", Proxy: node.Sidecar})
				page.ServeEcho(8080)
				client, call := page, Call{To: "10.96.0.1:80", URL: "http://cart/"}
				if by == "gateway" {
					ingress := w.Start(Spec{Namespace: RootNamespace, Name: "ingress-1", Labels: map[string]string{"istio": "ingress"}, Proxy: node.Router})
					client, call = w.Start(Spec{Namespace: "other", Name: "client-1"}), Call{To: ingress.At(80), URL: "http://shop.example.com/"}
				}
				first := client.Expect(call, "200")
				given, _, _ := strings.Cut(first.Header.Get(c.answer), ";")
				mine, server := call, first.Echo().Pod
				mine.Header = http.Header{c.request: {given}}
				stays := func(what string) {
					t.Helper()
					for range 50 {
						if got := client.Call(mine); got.Status != http.StatusOK || got.Echo().Pod != server {
							t.Fatalf("%s: a client of %s got %q", what, server, got)
						}
					}
				}
				stays("all are ready")
				for _, to := range []string{page.At(8080), "127.0.0.1:15000", "nonsense"} { // nothing that the Service has
					strange := call
					strange.Header = http.Header{c.request: {c.prefix + base64.StdEncoding.EncodeToString([]byte(to))}}
					if got := client.Call(strange); carts[got.Echo().Pod] == nil {
						t.Errorf("a request that names %s got %q", to, got)
					}
				}
				carts[server].Leave()
				w.Eventually("others leave the server that is going away", func() error {
					for range 30 {
						if got := client.Call(call).Echo().Pod; got == server || got == "" {
							return fmt.Errorf("%q answered", got)
						}
					}
					return nil
				})
				stays("the server is going away")
				carts[server].Unready(true)
				w.Eventually("the client gets another server", func() error {
					got := client.Call(mine)
					if pod := got.Echo().Pod; pod == server || pod == "" {
						return fmt.Errorf("%q answered", got)
					}
					if !strings.HasPrefix(got.Header.Get(c.answer), c.prefix) {
						return fmt.Errorf("the answer does not say which server it is from: %v", got.Header)
					}
					return nil
				})
			})
		}
	}
}
