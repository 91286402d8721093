// SPDX-License-Identifier: Apache-2.0

//go:build integration && linux

package live

import (
	"bufio"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshwright/meshwright/internal/agent/node"
)

// TestFirstCalls: sidecars hold what their workloads use. The first call to a Service
// is answered like any other, whatever name a request says, and whoever speaks first;
// afterwards the sidecar holds what was called and no more, and so does the one of a
// new replica, before it calls anything.
func TestFirstCalls(t *testing.T) {
	const services, called = 100, 60
	w := New(t)
	var manifests []string
	for i := range services {
		manifests = append(manifests, fmt.Sprintf(
			`{apiVersion: v1, kind: Service, metadata: {name: web-%d, namespace: shop}, spec: {clusterIP: 10.96.1.%d, selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 9042}]}}`, i, i))
	}
	w.Apply(strings.Join(manifests, "\n---\n"))
	web := w.Start(Spec{Namespace: "shop", Name: "web-1", Labels: map[string]string{"app": "web"}, Proxy: node.Sidecar})
	web.ServeEcho(8080)
	web.serveLines(9042)
	page := w.Start(Spec{Namespace: "shop", Name: "page-1", Workload: "page", Labels: map[string]string{"app": "page"}, Proxy: node.Sidecar})
	w.Eventually("the listeners of "+page.Name, func() error {
		if got := page.Admin("/listeners"); !strings.Contains(got, "0.0.0.0_80") || strings.Contains(got, "_9042") {
			return fmt.Errorf("not those of HTTP ports alone: %s", got)
		}
		return nil
	})
	if got := page.outbound(); len(got) > 0 {
		t.Errorf("a sidecar that called nothing holds %v", got)
	}

	var took []time.Duration
	timed := func(what string, call func() error) {
		begin := time.Now()
		if err := call(); err != nil {
			t.Errorf("the first call to %s: %v", what, err)
		}
		took = append(took, time.Since(begin))
	}
	var want []string
	for i := range called {
		if i%3 == 2 {
			address := fmt.Sprintf("10.96.1.%d:9042", i)
			timed(address, func() error { return page.firstLine(address) })
			want = append(want, fmt.Sprintf("outbound|9042||web-%d.shop.svc.cluster.local", i))
			continue
		}
		host := []string{fmt.Sprintf("web-%d", i), fmt.Sprintf("Web-%d.shop.svc.cluster.local:80", i), fmt.Sprintf("10.96.1.%d", i)}[i/3%3]
		timed(host, func() error {
			if got := page.Call(Call{To: fmt.Sprintf("10.96.1.%d:80", i), URL: "http://" + host + "/", Method: "POST", Body: strings.Repeat("x", 100_000)}); got.String() != "200 web-1" {
				return fmt.Errorf("got %q", got)
			}
			return nil
		})
		want = append(want, fmt.Sprintf("outbound|80||web-%d.shop.svc.cluster.local", i))
	}
	slices.Sort(want)
	slices.Sort(took)
	t.Logf("%d first calls took %s at the median and %s at most", len(took), took[len(took)/2], took[len(took)-1])
	if got := page.outbound(); !slices.Equal(got, want) {
		t.Errorf("after %d calls the sidecar holds %v, want %v", called, got, want)
	}
	sibling := w.Start(Spec{Namespace: "shop", Name: "page-2", Workload: "page", Labels: map[string]string{"app": "page"}, Proxy: node.Sidecar})
	if got := sibling.outbound(); !slices.Equal(got, want) {
		t.Errorf("a new replica begins with %v, want %v", got, want)
	}
}

// firstLine connects once and reads the greeting of a server that speaks first.
func (p *Pod) firstLine(to string) error {
	conn, err := p.Dial(to)
	if err != nil {
		return err
	}
	defer conn.Close()
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return fmt.Errorf("read %q: %w", line, err)
	}
	return nil
}

// outbound is the clusters of Services that the proxy holds, sorted.
func (p *Pod) outbound() []string {
	var out []string
	for line := range strings.Lines(p.Admin("/clusters")) {
		// One that was asked for by an address has the name of its host in statistics.
		if _, name, _ := strings.Cut(strings.TrimSpace(line), "::observability_name::"); strings.HasPrefix(name, "outbound|") {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
