// SPDX-License-Identifier: Apache-2.0

//go:build integration && linux

package live

import (
	"fmt"
	"slices"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"

	"github.com/meshwright/meshwright/internal/agent/bootstrap"
	"github.com/meshwright/meshwright/internal/agent/node"
)

func zonesRule(least int) string {
	return fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: books}
spec:
  host: reviews
  trafficPolicy: {loadBalancer: {zoneAwareLbSetting: {minClusterSize: %d}}}
`, least)
}

// TestZones: requests stay in their zone as far as its servers can bear them, and
// leave a zone that has none.
func TestZones(t *testing.T) {
	w := New(t)
	w.Apply(reviewsZones + reviewsService("") + `---
{apiVersion: v1, kind: Service, metadata: {name: page, namespace: books}, spec: {clusterIP: 10.96.0.8, selector: {app: page}, ports: [{name: http, port: 80, targetPort: 8080}]}}
`)
	home, servers := map[string]string{}, map[string][]*Pod{}
	for i, zone := range []string{"a", "b", "a", "b"} {
		p := w.Start(Spec{Namespace: "books", Name: fmt.Sprintf("reviews-%d", i), Labels: map[string]string{"app": "reviews"}, NodeName: zone})
		p.ServeEcho(8080)
		home[p.Name], servers[zone] = zone, append(servers[zone], p)
	}
	pages := map[string]*Pod{}
	for _, zone := range []string{"a", "b"} {
		pages[zone] = w.Start(Spec{
			Namespace: "books", Name: "page-" + zone, Labels: map[string]string{"app": "page"}, NodeName: zone, Proxy: node.Sidecar,
		})
	}
	// What calls in another region is none of the load here.
	w.Apply("{apiVersion: v1, kind: Node, metadata: {name: c, labels: {topology.kubernetes.io/region: east, topology.kubernetes.io/zone: c}}}")
	w.Start(Spec{Namespace: "books", Name: "page-c", Labels: map[string]string{"app": "page"}, NodeName: "c"})
	old := w.Start(Spec{
		Namespace: "books", Name: "old", NodeName: "a", Proxy: node.Sidecar,
		Bootstrap: func(b *bootstrapv3.Bootstrap) { // of before proxies knew of places
			b.ClusterManager, b.Node.Locality = nil, nil
			b.StaticResources.Clusters = slices.DeleteFunc(b.StaticResources.Clusters, func(c *clusterv3.Cluster) bool {
				return c.Name == bootstrap.OwnCluster
			})
		},
	})
	call := Call{To: "10.96.0.7:80", URL: "http://reviews/"}
	// stays is how many of 100 calls from a zone are answered in it.
	stays := func(zone string) int {
		n := 0
		for range 100 {
			if home[pages[zone].Call(call).Echo().Pod] == zone {
				n++
			}
		}
		return n
	}
	expect := func(what, zone string, least, most int) {
		t.Helper()
		w.Eventually(what, func() error {
			n := stays(zone)
			if n < least || n > most {
				return fmt.Errorf("%d of 100 calls stayed in zone %s, not %d to %d", n, zone, least, most)
			}
			t.Logf("%s: %d of 100 calls stayed in zone %s", what, n, zone)
			return nil
		})
	}

	expect("calls go anywhere without a rule", "a", 30, 70)
	w.Apply(zonesRule(5))
	expect("calls go anywhere with too few servers", "a", 30, 70)
	w.Apply(zonesRule(4))
	for zone := range pages {
		expect("calls stay in their zone", zone, 96, 100)
	}
	old.Expect(call, "200")
	pages["b"].Unready(true)
	expect("half of the calls leave when all come from one zone", "a", 30, 70)
	pages["b"].Unready(false)
	expect("calls stay in their zone again", "a", 96, 100)

	stop := pages["a"].Hammer(call, "200")
	servers["a"][0].Unready(true)
	w.Apply(zonesRule(3))
	expect("a third of the calls leaves a zone with a third of the servers", "a", 50, 82)
	servers["a"][1].Unready(true)
	expect("calls leave a zone without servers", "a", 0, 0)
	servers["a"][0].Unready(false)
	servers["a"][1].Unready(false)
	expect("calls come back", "a", 96, 100)
	if calls, wrong := stop(); len(wrong) > 0 {
		t.Errorf("%d of %d calls failed while a zone was away: %q", len(wrong), calls, wrong)
	}

	w.Delete("DestinationRule", "books", "reviews")
	expect("calls go anywhere when the rule is gone", "a", 30, 70)
	if refused := w.Refused(); len(refused) > 0 {
		t.Errorf("refused: %q", refused)
	}
}

// TestZonesOfGateways: gateways keep what they get in their zone, too.
func TestZonesOfGateways(t *testing.T) {
	w := New(t)
	w.Apply(reviewsZones + reviewsService("") + "---" + zonesRule(2) + `---
{apiVersion: v1, kind: Service, metadata: {name: edge, namespace: books}, spec: {clusterIP: 10.96.0.8, selector: {app: edge}, ports: [{name: http, port: 80, targetPort: 8080}]}}
---
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: edge, namespace: books}, spec: {selector: {app: edge}, servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: ["*"]}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: edge, namespace: books}, spec: {hosts: ["*"], gateways: [edge], http: [{route: [{destination: {host: reviews}}]}]}}
`)
	client := w.Start(Spec{Namespace: "other", Name: "client"})
	edges, servers := map[string]*Pod{}, map[string]*Pod{}
	for _, zone := range []string{"a", "b"} {
		servers[zone] = w.Start(Spec{Namespace: "books", Name: "reviews-" + zone, Labels: map[string]string{"app": "reviews"}, NodeName: zone})
		servers[zone].ServeEcho(8080)
		edges[zone] = w.Start(Spec{Namespace: "books", Name: "edge-" + zone, Labels: map[string]string{"app": "edge"}, NodeName: zone, Proxy: node.Router})
	}
	for zone, edge := range edges {
		w.Eventually("calls stay in zone "+zone, func() error {
			for range 60 {
				if got := client.Call(Call{To: edge.At(8080), URL: "http://shop.example.com/"}).Echo().Pod; got != servers[zone].Name {
					return fmt.Errorf("%s answered", got)
				}
			}
			return nil
		})
	}
	servers["a"].Unready(true)
	w.Eventually("calls leave a zone without servers", func() error {
		if got := client.Call(Call{To: edges["a"].At(8080), URL: "http://shop.example.com/"}).Echo().Pod; got != servers["b"].Name {
			return fmt.Errorf("%s answered", got)
		}
		return nil
	})
}
