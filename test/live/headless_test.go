// SPDX-License-Identifier: Apache-2.0

//go:build integration && linux

package live

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/meshwright/meshwright/internal/agent/node"
)

const headless = `
{apiVersion: v1, kind: Service, metadata: {name: db, namespace: shop}, spec: {clusterIP: None, selector: {app: db}, ports: [{name: tcp, port: 9042}, {name: http, port: 8080}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: db, namespace: other}, spec: {clusterIP: None, selector: {app: db}, ports: [{name: tcp, port: 9042}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {clusterIP: 10.96.0.2, selector: {app: web}, ports: [{name: http, port: 9042, targetPort: 8080}]}}
---
{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: default, namespace: shop}, spec: {mtls: {mode: STRICT}}}
`

// TestPodsByAddress calls the pods of headless Services one by one, on a port that
// another Service speaks HTTP on: strict servers answer, each pod is the one that
// was dialled, servers that speak first are heard, and a pod that comes or goes
// changes no listener and no cluster and ends no connection.
func TestPodsByAddress(t *testing.T) {
	w := New(t)
	w.Apply(headless)
	member := func(namespace, name string, proxy node.Role) *Pod {
		p := w.Start(Spec{Namespace: namespace, Name: name, Labels: map[string]string{"app": "db"}, Proxy: proxy})
		p.serveLines(9042)
		return p
	}
	first, second := member("shop", "db-0", node.Sidecar), member("shop", "db-1", node.Sidecar)
	plain := member("other", "db-0", "")
	first.ServeEcho(8080)
	second.ServeEcho(8080)
	web := w.Start(Spec{Namespace: "shop", Name: "web-1", Labels: map[string]string{"app": "web"}, Proxy: node.Sidecar})
	web.ServeEcho(8080)
	page := w.Start(Spec{Namespace: "other", Name: "page-1", Proxy: node.Sidecar})

	for _, p := range []*Pod{first, second, plain} {
		page.expectLine(p.At(9042), p.Namespace+"/"+p.Name)
	}
	first.expectLine(second.At(9042), "shop/db-1") // the members among themselves
	page.Expect(Call{To: second.At(8080), URL: "http://db-1.db.shop:8080/"}, "200 db-1")
	page.Expect(Call{To: first.At(8080), URL: "http://db-0.db.shop.svc.cluster.local:8080/"}, "200 db-0")
	page.Expect(Call{To: first.At(8080), URL: "http://" + first.At(8080) + "/"}, "200 db-0")
	page.Expect(Call{To: "10.96.0.2:9042", URL: "http://web.shop:9042/"}, "200 web-1")

	open, err := page.Dial(second.At(9042))
	w.must(err)
	listeners, clusters := page.Stat("listener_manager.lds.update_success"), page.Stat("cluster_manager.cds.update_success")
	third := member("shop", "db-2", node.Sidecar)
	page.expectLine(third.At(9042), "shop/db-2")
	if again := page.Stat("listener_manager.lds.update_success"); again != listeners {
		t.Errorf("a new pod was %d updates of listeners", again-listeners)
	}
	if again := page.Stat("cluster_manager.cds.update_success"); again != clusters {
		t.Errorf("a new pod was %d updates of clusters", again-clusters)
	}
	second.Unready(true)
	page.expectLine(second.At(9042), "shop/db-1") // a member that is not ready yet is called by its peers
	if got, err := ask(open, "still there"); got != "shop/db-1: still there" {
		t.Errorf("the connection that was open: %q, %v", got, err)
	}
}

// serveLines greets and then answers each line with the pod's name in front.
func (p *Pod) serveLines(port uint16) { go p.speak(p.Listen(fmt.Sprintf(":%d", port))) }

func (p *Pod) speak(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = conn.Close() }()
			_, _ = fmt.Fprintf(conn, "%s/%s\n", p.Namespace, p.Name)
			for lines := bufio.NewScanner(conn); lines.Scan(); {
				_, _ = fmt.Fprintf(conn, "%s/%s: %s\n", p.Namespace, p.Name, lines.Text())
			}
		}()
	}
}

// expectLine connects until the greeting is the one wanted.
func (p *Pod) expectLine(to, want string) {
	p.world.t.Helper()
	p.world.Eventually(p.Name+" connects to "+to, func() error {
		conn, err := p.Dial(to)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		line, err := bufio.NewReader(conn).ReadString('\n')
		if got := strings.TrimSpace(line); got != want {
			return fmt.Errorf("got %q (%w), want %q", got, err, want)
		}
		return nil
	})
}

// ask sends a line after the greeting and returns the answer.
func ask(conn net.Conn, line string) (string, error) {
	lines := bufio.NewScanner(conn)
	lines.Scan()
	if _, err := fmt.Fprintln(conn, line); err != nil {
		return "", err
	}
	lines.Scan()
	return lines.Text(), lines.Err()
}
