// SPDX-License-Identifier: Apache-2.0

//go:build integration && linux

package live

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/meshwright/meshwright/internal/agent/node"
	"github.com/meshwright/meshwright/internal/ir"
)

var reopened = flag.Int("reopened", 20, "how often TestReopen and TestReappear take a host away and bring it back")

// coming is somebody who brings objects and takes them away, with short pauses.
type coming struct {
	*World
	chance *rand.Rand
}

func (c coming) pause(most time.Duration) { time.Sleep(time.Duration(c.chance.Int64N(int64(most)))) }

// shuffled does both, in either order, with a pause of up to 10 ms between.
func (c coming) shuffled(one, other func()) {
	if c.chance.IntN(2) == 0 {
		one, other = other, one
	}
	one()
	c.pause(10 * time.Millisecond)
	other()
}

func door(port uint16, name string) string {
	return fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: %[1]s, namespace: shop}
spec: {selector: {istio: ingress}, servers: [{port: {number: %[2]d, name: http, protocol: HTTP}, hosts: [%[1]s.example.com]}]}
`, name, port)
}

func answers(name string) string {
	return fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: %[1]s, namespace: shop}
spec: {hosts: [%[1]s.example.com], gateways: [%[1]s], http: [{directResponse: {status: 299}}]}
`, name)
}

// TestReopen opens ports of a gateway and closes them again: the only Gateway of a port goes, or its last but
// one, and another with another host comes while Envoy still drains what there was. Envoy goes on with the route
// configuration of the listener that drains, so this has to be one that hosts can be added to. Each host is served when
// its turn comes, and none is left when all are gone.
func TestReopen(t *testing.T) {
	w := New(t)
	ingress := w.Start(Spec{Namespace: RootNamespace, Name: "ingress", Labels: map[string]string{"istio": "ingress"}, Proxy: node.Router})
	client := w.Start(Spec{Namespace: "other", Name: "client"})
	ports := map[uint16]int{80: 1, 81: 1, 82: 2} // to how many come to it
	var all sync.WaitGroup
	for port, several := range ports {
		for n := range several {
			c := coming{w, rand.New(rand.NewPCG(*seed, uint64(port)<<8|uint64(n)))}
			all.Go(func() {
				for i := range *reopened {
					name := fmt.Sprintf("p%d-%d-%d", port, n, i)
					c.shuffled(func() { w.Apply(door(port, name)) }, func() { w.Apply(answers(name)) })
					if got := client.until(Call{To: ingress.At(port), URL: "http://" + name + ".example.com/"}, 299); got.Status != 299 {
						t.Errorf("a call to %s got %q; the gateway has\n%s", name, got, ingress.Admin("/config_dump?resource=dynamic_route_configs"))
						return
					}
					c.pause(50 * time.Millisecond)
					c.shuffled(func() { w.Delete("Gateway", "shop", name) }, func() { w.Delete("VirtualService", "shop", name) })
					c.pause(300 * time.Millisecond)
				}
			})
		}
	}
	all.Wait()
	for port := range ports {
		w.Apply(door(port, fmt.Sprint("last-", port)))
	}
	w.Eventually("the gateway holds what a new one is sent", func() error { return settled([]*Pod{ingress}) })
}

// until calls for some seconds, until the answer has a status.
func (p *Pod) until(call Call, status int) Answer {
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		if got := p.Call(call); got.Status == status || time.Now().After(end) {
			return got
		}
	}
}

// TestReappear takes Services away and brings them back, together with what a VirtualService says of them, while
// sidecars call them: one that holds every host, and one that asks for those that it calls. Each is served when it is
// there.
func TestReappear(t *testing.T) {
	w := New(t)
	w.Start(Spec{Namespace: "shop", Name: "cart", Labels: map[string]string{"app": "cart"}, Proxy: node.Sidecar}).ServeEcho(8080)
	clients := []*Pod{
		w.Start(Spec{Namespace: "shop", Name: "asks", Proxy: node.Sidecar}),
		w.Start(Spec{Namespace: "shop", Name: "holds", Proxy: node.Sidecar, Annotations: map[string]string{ir.AnnotationDiscoveryScope: "full"}}),
	}
	var all sync.WaitGroup
	for n, port := range []int{80, 80, 81} { // the only one of its port, and one of two
		c := coming{w, rand.New(rand.NewPCG(*seed, uint64(n)))}
		name, address := fmt.Sprint("cart-", n), fmt.Sprint("10.96.0.", n+1)
		call := Call{To: fmt.Sprintf("%s:%d", address, port), URL: fmt.Sprintf("http://%s:%d/", name, port)}
		service := fmt.Sprintf("{apiVersion: v1, kind: Service, metadata: {name: %s, namespace: shop}, spec: {clusterIP: %s, selector: {app: cart}, ports: [{name: http, port: %d, targetPort: 8080}]}}", name, address, port)
		all.Go(func() {
			for i := range *reopened {
				routes := fmt.Sprintf("\n{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: %[1]s, namespace: shop}, spec: {hosts: [%[1]s], http: [{headers: {response: {set: {x-turn: 'turn-%[2]d'}}}, route: [{destination: {host: %[1]s}}]}]}}", name, i)
				c.shuffled(func() { w.Apply(service) }, func() { w.Apply(routes) })
				for _, client := range clients {
					turn := fmt.Sprint("turn-", i)
					var got Answer
					for end := time.Now().Add(5 * time.Second); got.Header.Get("x-turn") != turn && time.Now().Before(end); {
						// One that comes before the Service does goes to the address, where nothing answers.
						ctx, stop := context.WithTimeout(t.Context(), 500*time.Millisecond)
						call.Context = ctx
						got = client.Call(call)
						stop()
					}
					if got.Header.Get("x-turn") != turn || got.Status != 200 {
						t.Errorf("in turn %d a call of %s to %s got %q of turn %q; it has\n%s", i, client.Name, name, got, got.Header.Get("x-turn"), client.Admin("/config_dump?resource=dynamic_route_configs"))
						return
					}
				}
				c.shuffled(func() { w.Delete("Service", "shop", name) }, func() { w.Delete("VirtualService", "shop", name) })
				c.pause(100 * time.Millisecond)
			}
		})
	}
	all.Wait()
	// The other keeps clusters that it asked for and that are gone, because Envoy never says that it needs them no more.
	w.Eventually("a sidecar holds what a new one is sent", func() error { return settled(clients[1:]) })
}
