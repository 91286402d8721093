// SPDX-License-Identifier: Apache-2.0

//go:build integration && linux

package live

import (
	"fmt"
	"strings"
	"testing"

	"github.com/meshwright/meshwright/internal/agent/node"
)

// TestOwnPorts: Services that lead to the ports at which sidecars get what is captured
// lead nowhere. A sidecar that handed such a connection on would get it again.
func TestOwnPorts(t *testing.T) {
	w := New(t)
	service := func(name string, number, target int, ipv6 bool) string {
		addresses, families := fmt.Sprintf("10.96.0.%d", number), "IPv4"
		if ipv6 {
			addresses, families = fmt.Sprintf("fd00:96::%d", number), "IPv6"
		}
		return fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {name: %s, namespace: shop}, spec: {clusterIP: "%s", clusterIPs: ["%s"], ipFamilies: [%s], selector: {app: web}, ports: [{name: http, port: 80, targetPort: %d}, {name: tcp, port: 81, targetPort: %d}]}}`,
			name, addresses, addresses, families, target, target)
	}
	w.Apply(strings.Join([]string{
		service("inbound", 2, 15006, false), service("outbound", 3, 15001, false), service("inbound6", 4, 15006, true), service("outbound6", 5, 15001, true),
		"{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: web, namespace: shop}, spec: {selector: {matchLabels: {app: web}}, mtls: {mode: PERMISSIVE}}}",
	}, "\n---\n"))
	web := w.Start(Spec{Namespace: "shop", Name: "web-1", Labels: map[string]string{"app": "web"}, Proxy: node.Sidecar, IPv6: true})
	page := w.Start(Spec{Namespace: "shop", Name: "page-1", Proxy: node.Sidecar, IPv6: true})
	outside := w.Start(Spec{Namespace: "other", Name: "outside-1", IPv6: true})
	for _, at := range []string{"10.96.0.2", "10.96.0.3", "[fd00:96::4]", "[fd00:96::5]"} {
		page.Expect(Call{To: at + ":80", URL: "http://" + at + "/"}, "503")
		if got := page.Call(Call{To: at + ":81", URL: "http://" + at + ":81/"}); got.Err == nil {
			t.Errorf("bytes for %s are answered: %s", at, got)
		}
	}
	for _, port := range []uint16{15001, 15006} {
		for _, to := range []string{web.At(port), web.At6(port)} {
			for _, from := range []*Pod{outside, web} {
				if got := from.Call(Call{To: to, URL: "http://web.shop/"}); got.Err == nil {
					t.Errorf("%s calls %s: %s", from.Name, to, got)
				}
			}
		}
	}
	w.clean()
}
