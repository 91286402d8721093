// SPDX-License-Identifier: Apache-2.0

//go:build integration && linux

package live

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/meshwright/meshwright/internal/agent/node"
)

func reviewsRule(subset string) string {
	return fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: books}
spec:
  host: reviews
  subsets: [{name: %s, labels: {app: reviews}}]
`, subset)
}

func reviewsRoute(subset string) string {
	return fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: books}
spec:
  hosts: [reviews]
  http: [{headers: {response: {set: {x-subset: %[1]s}}}, route: [{destination: {host: reviews, subset: %[1]s}}]}]
`, subset)
}

const reviewsZones = `
{apiVersion: v1, kind: Node, metadata: {name: a, labels: {topology.kubernetes.io/region: west, topology.kubernetes.io/zone: a}}}
---
{apiVersion: v1, kind: Node, metadata: {name: b, labels: {topology.kubernetes.io/region: west, topology.kubernetes.io/zone: b}}}
---
`

// renames is how often the subset gets another name.
const renames = 60

func reviewsService(distribution string) string {
	return fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {name: reviews, namespace: books}, spec: {clusterIP: 10.96.0.7, %s selector: {app: reviews}, ports: [{name: http, port: 80, targetPort: 8080}]}}
`, distribution)
}

// TestDestinations: subsets are renamed in both orders while calls go on, near
// endpoints are used while they are ready, and a key goes to one pod.
func TestDestinations(t *testing.T) {
	w := New(t)
	w.Apply(reviewsZones + reviewsService(""))
	var reviews []*Pod
	for _, zone := range []string{"a", "b", "b"} {
		p := w.Start(Spec{
			Namespace: "books", Name: fmt.Sprintf("reviews-%d", len(reviews)), Labels: map[string]string{"app": "reviews"},
			NodeName: zone, Proxy: node.Sidecar,
		})
		p.ServeEcho(8080)
		reviews = append(reviews, p)
	}
	page := w.Start(Spec{Namespace: "books", Name: "page", Labels: map[string]string{"app": "page"}, NodeName: "a", Proxy: node.Sidecar})
	call := Call{To: "10.96.0.7:80", URL: "http://reviews/"}
	page.Expect(call, "200")

	w.Apply(reviewsRule("s0") + "---" + reviewsRoute("s0"))
	arrives := func(subset string) {
		t.Helper()
		w.Eventually("routes name "+subset, func() error {
			if got := page.Call(call).Header.Get("x-subset"); got != subset {
				return fmt.Errorf("they name %q", got)
			}
			return nil
		})
	}
	arrives("s0")
	stop := page.Hammer(call, "200")
	for i := range renames {
		next := fmt.Sprintf("s%d", i+1)
		if i%2 == 0 {
			w.Apply(reviewsRule(next))
			w.Apply(reviewsRoute(next))
		} else {
			w.Apply(reviewsRoute(next))
			w.Apply(reviewsRule(next))
		}
		arrives(next)
	}
	if calls, wrong := stop(); len(wrong) > 0 {
		t.Errorf("%d of %d calls failed while subsets were renamed: %q", len(wrong), calls, wrong)
	} else {
		t.Logf("%d calls while a subset was renamed %d times", calls, renames)
	}

	// All of at least 30 calls go to the pods of a zone.
	only := func(what string, pods ...string) {
		t.Helper()
		w.Eventually(what, func() error {
			seen := map[string]int{}
			for range 30 {
				seen[page.Call(call).Echo().Pod]++
			}
			for _, p := range pods {
				delete(seen, p)
			}
			if len(seen) > 0 {
				return fmt.Errorf("others answered: %v", seen)
			}
			return nil
		})
	}
	w.Apply(reviewsService("trafficDistribution: PreferSameZone,"))
	only("calls stay in the zone", "reviews-0")
	stop = page.Hammer(call, "200")
	reviews[0].Unready(true)
	only("calls leave a zone that is not ready", "reviews-1", "reviews-2")
	reviews[0].Unready(false)
	only("calls come back", "reviews-0")
	if calls, wrong := stop(); len(wrong) > 0 {
		t.Errorf("%d of %d calls failed while a zone was away: %q", len(wrong), calls, wrong)
	}

	w.Apply(reviewsService("") + "---" + `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: books}
spec:
  host: reviews
  trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: x-user}}}
  subsets: [{name: s60, labels: {app: reviews}}]
`)
	w.Eventually("a key goes to one pod, and keys to several", func() error {
		pods := map[string]bool{}
		for user := range 10 {
			keyed := call
			keyed.Header = http.Header{"X-User": {fmt.Sprint(user)}}
			first := page.Call(keyed).Echo().Pod
			for range 10 {
				if got := page.Call(keyed).Echo().Pod; got != first || got == "" {
					return fmt.Errorf("user %d went to %s and to %s", user, first, got)
				}
			}
			pods[first] = true
		}
		if len(pods) < 2 {
			return fmt.Errorf("all keys went to %v", pods)
		}
		return nil
	})
}
