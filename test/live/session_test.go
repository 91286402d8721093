// SPDX-License-Identifier: Apache-2.0

//go:build integration && linux

package live

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/meshwright/meshwright/internal/agent/node"
)

const stickyService = `
{apiVersion: v1, kind: Service, metadata: {name: cart, namespace: shop, labels: {LABEL}}, spec: {clusterIP: 10.96.0.2, selector: {app: cart}, ports: [{name: http, port: 80, targetPort: 8080}]}}
`

// TestSessions: a client that sends back what an answer gave it stays with its server,
// also while that is going away, and gets another one when it is gone.
func TestSessions(t *testing.T) {
	for header, label := range map[string]string{"Set-Cookie": "istio.io/persistent-session: at", "X-At": "istio.io/persistent-session-header: x-at"} {
		t.Run(header, func(t *testing.T) {
			w := New(t)
			w.Apply(strings.ReplaceAll(stickyService, "LABEL", label))
			carts := map[string]*Pod{}
			for i := range 3 {
				p := w.Start(Spec{Namespace: "shop", Name: fmt.Sprintf("cart-%d", i), Labels: map[string]string{"app": "cart"}, Proxy: node.Sidecar})
				p.ServeEcho(8080)
				carts[p.Name] = p
			}
			page := w.Start(Spec{Namespace: "shop", Name: "page-1", Proxy: node.Sidecar})
			call := Call{To: "10.96.0.2:80", URL: "http://cart/"}
			first := page.Expect(call, "200")
			mine := call
			if cookie, ok := strings.CutPrefix(first.Header.Get("Set-Cookie"), "at="); ok {
				value, _, _ := strings.Cut(cookie, ";")
				mine.Header = http.Header{"Cookie": {"at=" + value}}
			} else {
				mine.Header = http.Header{"X-At": {first.Header.Get("X-At")}}
			}
			server := first.Echo().Pod
			stays := func(what string) {
				t.Helper()
				for range 50 {
					if got := page.Call(mine); got.Status != http.StatusOK || got.Echo().Pod != server {
						t.Fatalf("%s: a client of %s got %q", what, server, got)
					}
				}
			}
			stays("all are ready")
			carts[server].Leave()
			w.Eventually("others leave the server that is going away", func() error {
				for range 30 {
					if got := page.Call(call).Echo().Pod; got == server || got == "" {
						return fmt.Errorf("%q answered", got)
					}
				}
				return nil
			})
			stays("the server is going away")
			carts[server].Unready(true)
			page.Expect(mine, "200")
			w.Eventually("the client gets another server", func() error {
				got := page.Call(mine)
				if pod := got.Echo().Pod; pod == server || pod == "" {
					return fmt.Errorf("%q answered", pod)
				}
				if got.Header.Get(header) == "" {
					return fmt.Errorf("the answer does not say which server it is from")
				}
				return nil
			})
		})
	}
}
