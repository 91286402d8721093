// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// loop is a client without a network: it acknowledges what it is sent and
// asks for the endpoints of its clusters and for its routes.
type loop struct {
	answers chan *request
	// received counts resources.
	received *atomic.Int64
}

func (c *loop) send(r *response) error {
	c.received.Add(int64(len(r.items)))
	c.answers <- &request{typ: r.typ, nonce: []byte(r.nonce)}
	return nil
}

// nodeBytes is a marshalled node with the id n.
var nodeBytes = []byte("\n\x01n")

func appendName(to names, field protowire.Number, name string) names {
	return names(protowire.AppendString(protowire.AppendTag(to, field, protowire.BytesType), name))
}

// crowd is a hub with many looped clients of one class that sees n services
// with a cluster, endpoints and a virtual host each.
type crowd struct {
	hub      *Hub
	received atomic.Int64
	wg       sync.WaitGroup
	services int
}

func newCrowd(tb testing.TB, services, clients int) *crowd {
	tb.Helper()
	hub, err := NewHub(Options{Classify: func(n *core.Node, _ Peer) (string, error) { return "a", nil }})
	if err != nil {
		tb.Fatal(err)
	}
	c := &crowd{hub: hub, services: services}
	b := Batch{Classes: []Class{{Key: "a", Layers: []Layer{"base"}}}}
	b.Set = put("base", res(ListenerType, "0.0.0.0_80", "1"), res(RouteType, "80", "1"))
	for i := range services {
		name := serviceName(i)
		b.Set = append(b.Set, put("base", eds(name, "1"), endpoints(name, "1"), res(VirtualHostType, "80/"+name, "1"))...)
	}
	hub.Publish(b)
	for range clients {
		c.join()
	}
	tb.Cleanup(func() {
		hub.Close()
		c.wg.Wait()
	})
	c.await(tb, int64(clients)*int64(3*services+2))
	return c
}

func serviceName(i int) string {
	return fmt.Sprintf("outbound|8080||service-%04d.namespace-%d.svc.cluster.local", i, i%10)
}

func endpoints(name, version string) *Resource {
	r := res(EndpointType, name, version)
	r.Body = []byte(strings.Repeat("e", 150) + version)
	return r
}

func (c *crowd) join() {
	l := &loop{answers: make(chan *request, 64), received: &c.received}
	s := c.hub.session(l, Peer{})
	c.wg.Go(func() { _ = s.run(c.hub.done, nil) })
	c.wg.Go(func() {
		say := func(r *request) error {
			s.turn.Lock()
			defer s.turn.Unlock()
			if err := s.take(r); err != nil {
				return err
			}
			return s.pump()
		}
		var all names
		for i := range c.services {
			all = appendName(all, fieldSubscribe, serviceName(i))
		}
		for _, r := range []*request{
			{typ: ClusterType, node: nodeBytes},
			{typ: EndpointType, subscribe: all},
			{typ: ListenerType},
			{typ: RouteType, subscribe: appendName(nil, fieldSubscribe, "80")},
			{typ: VirtualHostType},
		} {
			if say(r) != nil {
				return
			}
		}
		for {
			select {
			case <-c.hub.done:
				return
			case r := <-l.answers:
				if say(r) != nil {
					return
				}
			}
		}
	})
}

// await waits until all clients together got that many resources and the hub
// has their answers.
func (c *crowd) await(tb testing.TB, n int64) {
	tb.Helper()
	waitFor(tb, func() bool { return c.received.Load() >= n && c.hub.dump() == "" })
}

// BenchmarkEndpointChange is one changed assignment from Publish to the last
// of the clients that all subscribe to it.
func BenchmarkEndpointChange(b *testing.B) {
	for _, n := range []int{200, 2000} {
		b.Run(fmt.Sprintf("clients=%d", n), func(b *testing.B) {
			c := newCrowd(b, 1000, n)
			got := c.received.Load()
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				i++
				c.hub.Publish(Batch{Set: put("base", endpoints(serviceName(i%1000), fmt.Sprint("v", i)))})
				for got += int64(n); c.received.Load() < got; {
					runtime.Gosched()
				}
			}
		})
	}
}

// BenchmarkPublish is the publisher's own part of one changed assignment.
func BenchmarkPublish(b *testing.B) {
	c := newCrowd(b, 1000, 200)
	for _, bc := range []struct {
		name  string
		names int
	}{{"everybody", 0}, {"nobody", 1}} {
		b.Run("subscribers="+bc.name, func(b *testing.B) {
			name := serviceName(7)
			if bc.names == 1 {
				name = "asked for by nobody"
			}
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				i++
				c.hub.Publish(Batch{Set: put("base", endpoints(name, fmt.Sprint(bc.name, i)))})
			}
		})
	}
}

// BenchmarkConnect is one more client of a known class, from its first request
// until it holds everything.
func BenchmarkConnect(b *testing.B) {
	c := newCrowd(b, 1000, 1)
	got := c.received.Load()
	b.ReportAllocs()
	for b.Loop() {
		c.join()
		for got += 3002; c.received.Load() < got; {
			runtime.Gosched()
		}
	}
}

// TestMemoryPerClient holds the bound on what one more client of a known class
// costs: 30 KB with 2,000 services, without its transport, of which goroutines take most.
func TestMemoryPerClient(t *testing.T) {
	if raceEnabled {
		t.Log("measured without the race detector only: it multiplies memory")
		return
	}
	c := newCrowd(t, 2000, 2)
	const more = 100
	before := heap()
	want := c.received.Load() + more*(3*2000+2)
	for range more {
		c.join()
	}
	c.await(t, want)
	per := (heap() - before) / more
	t.Logf("%d bytes for one more client that sees 2,000 services", per)
	if per > 30<<10 {
		t.Errorf("one more client costs %d bytes, more than 30 KiB", per)
	}
}

// TestAllocationsPerPush holds the bound on garbage: a push and its
// acknowledgement make next to none, but for the two pieces of the request that
// the clients of this test make.
func TestAllocationsPerPush(t *testing.T) {
	if raceEnabled {
		t.Log("measured without the race detector only: it allocates")
		return
	}
	const clients = 200
	c := newCrowd(t, 100, clients)
	got, i := c.received.Load(), 0
	per := testing.AllocsPerRun(100, func() {
		i++
		c.hub.Publish(Batch{Set: put("base", endpoints(serviceName(i%100), fmt.Sprint("v", i)))})
		for got += clients; c.received.Load() < got; {
			runtime.Gosched()
		}
	}) / clients
	t.Logf("%.2f allocations for each push of a changed assignment and its acknowledgement", per)
	if per > 3 {
		t.Errorf("%.2f allocations for each push and its acknowledgement, more than 3", per)
	}
}

// TestAllocationsPerAnswer holds the bound on what an acknowledgement costs to
// read: the type is known, and the nonce stays where it is.
func TestAllocationsPerAnswer(t *testing.T) {
	raw, err := proto.Marshal(&discovery.DeltaDiscoveryRequest{
		Node: &core.Node{Id: "said with every message"}, TypeUrl: EndpointType, ResponseNonce: "1z",
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() {
		if _, err := parse(raw); err != nil {
			t.Error(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations to read an acknowledgement, want none", n)
	}
}

func heap() int64 {
	// Twice: what weak pointers and cleanups held goes in the second turn.
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
