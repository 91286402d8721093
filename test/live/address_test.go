// SPDX-License-Identifier: Apache-2.0

//go:build integration && linux

package live

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/meshwright/meshwright/internal/agent/node"
)

// TestAddressesOnDemand: connections to addresses that a sidecar asked about stay while
// requests come to the number of their port and go, and while the sidecar is told
// everything and asks again; new ones are answered all the time.
func TestAddressesOnDemand(t *testing.T) {
	w := New(t)
	service := func(name, addr, port string) string {
		return fmt.Sprintf("{apiVersion: v1, kind: Service, metadata: {name: %s, namespace: shop}, spec: {clusterIP: %s, selector: {app: db}, ports: [{name: %s, port: 5432}]}}", name, addr, port)
	}
	w.Apply(service("db", "10.96.0.8", "tcp") + "\n---\n" + service("db2", "10.96.0.9", "tcp") + "\n---\n" +
		"{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: default, namespace: shop}, spec: {mtls: {mode: STRICT}}}")
	w.Start(Spec{Namespace: "shop", Name: "db-1", Labels: map[string]string{"app": "db"}, Proxy: node.Sidecar}).serveLines(5432)
	page := w.Start(Spec{Namespace: "shop", Name: "page-1", Proxy: node.Sidecar})

	var open []net.Conn
	stays := func(when string) {
		t.Helper()
		page.expectLine("10.96.0.8:5432", "shop/db-1")
		page.expectLine("10.96.0.9:5432", "shop/db-1")
		for i, c := range open {
			if got, err := ask(c, "still there"); got != "shop/db-1: still there" {
				t.Errorf("%s, connection %d answers %q, %v", when, i, got, err)
			}
			_ = c.Close()
		}
		open = nil
		for _, to := range []string{"10.96.0.8:5432", "10.96.0.9:5432"} {
			conn, err := page.Dial(to) // for the next time
			w.must(err)
			open = append(open, conn)
		}
	}
	listens := func(want bool) {
		t.Helper()
		w.Eventually("the listeners of "+page.Name, func() error {
			if got := page.Admin("/listeners"); strings.Contains(got, "10.96.0.8_5432") != want {
				return fmt.Errorf("%s", got)
			}
			return nil
		})
	}
	stays("at first")
	listens(false)
	w.Apply(service("web", "10.96.0.10", "http"))
	listens(true)
	stays("with requests on the port")
	w.Delete("Service", "shop", "web")
	stays("without them")
	w.Apply("{apiVersion: v1, kind: Namespace, metadata: {name: shop, annotations: {meshwright.dev/discovery-scope: full}}}")
	stays("told everything")
	w.Apply("{apiVersion: v1, kind: Namespace, metadata: {name: shop, annotations: {meshwright.dev/discovery-scope: on-demand}}}")
	stays("asking again")
	if problems := w.Problems(); len(problems) > 0 {
		t.Errorf("problems: %q", problems)
	}
}
