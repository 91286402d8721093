// SPDX-License-Identifier: Apache-2.0

//go:build integration && linux

package live

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/meshwright/meshwright/internal/agent/node"
)

var flips = flag.Int("flips", 100, "how many changes TestFlips makes under load")

const (
	flipPace = 100 * time.Millisecond
	loadRate = 100 // calls a second, by each of two clients
)

// split is a DestinationRule and a VirtualService, with retries off. The names of
// the subsets, the weights and the order of the rules are those of the change.
func split(change int) (rule, routes string) {
	first, second := fmt.Sprintf("a%d", change/3), fmt.Sprintf("b%d", change/3)
	rules := []string{
		`{name: people, match: [{headers: {x-user: {exact: jason}}}], retries: {attempts: 0}, route: [{destination: {host: reviews, subset: ` + second + `}}]}`,
		`{name: pages, match: [{uri: {prefix: /page}}], retries: {attempts: 0}, route: [{destination: {host: reviews, subset: ` + first + `}}]}`,
		`{name: other, match: [{uri: {prefix: /other}}], fault: {abort: {httpStatus: 418, percentage: {value: 0}}}, retries: {attempts: 0}, route: [{destination: {host: reviews, subset: ` + first + `}}]}`,
	}
	turn := change % len(rules)
	rules = append(rules[turn:], rules[:turn]...)
	if change%5 == 0 {
		rules = rules[:2]
	}
	weight := change * 37 % 101
	rules = append(rules, fmt.Sprintf(
		`{name: rest, retries: {attempts: 0}, route: [{destination: {host: reviews, subset: %s}, weight: %d}, {destination: {host: reviews, subset: %s}, weight: %d}]}`,
		first, weight, second, 100-weight))
	return fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: books}
spec: {host: reviews, subsets: [{name: %s, labels: {version: v1}}, {name: %s, labels: {version: v2}}]}
`, first, second), fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: books}
spec:
  hosts: [reviews, reviews.example.com]
  gateways: [mesh, books/door]
  http: [%s]
`, strings.Join(rules, ",\n    "))
}

// TestFlips changes weights, the order of rules and the names of subsets, the rule
// before the routes and after them, while a sidecar and a gateway carry load that is
// not retried. No call fails.
func TestFlips(t *testing.T) {
	w := New(t)
	w.Apply(`
{apiVersion: v1, kind: Service, metadata: {name: reviews, namespace: books}, spec: {clusterIP: 10.96.0.7, selector: {app: reviews}, ports: [{name: http, port: 80, targetPort: 8080}]}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: door, namespace: books}
spec: {selector: {istio: ingress}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [reviews.example.com]}]}
`)
	for _, version := range []string{"v1", "v2"} {
		p := w.Start(Spec{Namespace: "books", Name: "reviews-" + version, Labels: map[string]string{"app": "reviews", "version": version}, Proxy: node.Sidecar})
		p.ServeEcho(8080)
	}
	page := w.Start(Spec{Namespace: "books", Name: "page", Labels: map[string]string{"app": "page"}, Proxy: node.Sidecar})
	ingress := w.Start(Spec{Namespace: RootNamespace, Name: "ingress", Labels: map[string]string{"istio": "ingress"}, Proxy: node.Router})
	outside := w.Start(Spec{Namespace: "other", Name: "client"})
	apply := func(change int) {
		rule, routes := split(change)
		switch change % 3 {
		case 0:
			w.Apply(rule + "---" + routes)
		case 1:
			w.Apply(rule)
			w.Apply(routes)
		default:
			w.Apply(routes)
			w.Apply(rule)
		}
	}
	apply(0)
	inside := Call{To: "10.96.0.7:80", URL: "http://reviews/page"}
	through := Call{To: ingress.At(80), URL: "http://reviews.example.com/"}
	page.Expect(inside, "200")
	outside.Expect(through, "200")
	stops := []func() (int, []string){page.Load(inside, loadRate, "200"), outside.Load(through, loadRate, "200")}
	pace := time.NewTicker(flipPace)
	defer pace.Stop()
	for i := range *flips {
		<-pace.C
		apply(i + 1)
	}
	for _, stop := range stops {
		calls, wrong := stop()
		if len(wrong) > 0 {
			t.Errorf("%d of %d calls failed: %q", len(wrong), calls, wrong[:min(len(wrong), 5)])
		}
		t.Logf("%d calls while routes changed %d times", calls, *flips)
	}
	if refused := w.Refused(); len(refused) > 0 {
		t.Errorf("proxies refused %q", refused)
	}
}
