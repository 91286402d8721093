// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	status "google.golang.org/genproto/googleapis/rpc/status"
)

// patience is how long a test waits for a message that must come.
const patience = 20 * time.Second

// server is a hub behind a real gRPC server in memory.
type server struct {
	hub  *Hub
	dial *grpc.ClientConn
}

func serve(t testing.TB, opts Options) *server {
	t.Helper()
	if opts.Classify == nil {
		opts.Classify = func(n *core.Node, _ Peer) (string, error) { return n.GetCluster(), nil }
	}
	hub, err := NewHub(opts)
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	hub.Register(g)
	l := bufconn.Listen(1 << 20)
	go func() { _ = g.Serve(l) }()
	cc, err := grpc.NewClient("passthrough:///hub",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hub.Close(); _ = cc.Close(); g.Stop() })
	return &server{hub: hub, dial: cc}
}

// client is a delta client that a test drives message by message.
type client struct {
	t      testing.TB
	stream grpc.BidiStreamingClient[discovery.DeltaDiscoveryRequest, discovery.DeltaDiscoveryResponse]
	cancel context.CancelFunc
	node   *core.Node
	got    chan *discovery.DeltaDiscoveryResponse
	probes int
	err    error
}

func (s *server) connect(t testing.TB, class, id string, opts ...grpc.CallOption) *client {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(s.dial).DeltaAggregatedResources(ctx, opts...)
	if err != nil {
		t.Fatal(err)
	}
	c := &client{t: t, stream: stream, cancel: cancel, node: &core.Node{Id: id, Cluster: class}, got: make(chan *discovery.DeltaDiscoveryResponse)}
	go func() {
		defer close(c.got)
		for {
			m, err := stream.Recv()
			if err != nil {
				c.err = err
				return
			}
			select {
			case c.got <- m:
			case <-ctx.Done():
				return
			}
		}
	}()
	t.Cleanup(cancel)
	return c
}

func (c *client) send(req *discovery.DeltaDiscoveryRequest) {
	c.t.Helper()
	if c.node != nil {
		req.Node, c.node = c.node, nil
	}
	if err := c.stream.Send(req); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

func (c *client) subscribe(typ string, names ...string) {
	c.t.Helper()
	c.send(&discovery.DeltaDiscoveryRequest{TypeUrl: typ, ResourceNamesSubscribe: names})
}

func (c *client) unsubscribe(typ string, names ...string) {
	c.t.Helper()
	c.send(&discovery.DeltaDiscoveryRequest{TypeUrl: typ, ResourceNamesUnsubscribe: names})
}

func (c *client) claim(typ string, held map[string]string, names ...string) {
	c.t.Helper()
	c.send(&discovery.DeltaDiscoveryRequest{TypeUrl: typ, InitialResourceVersions: held, ResourceNamesSubscribe: names})
}

func (c *client) ack(m *discovery.DeltaDiscoveryResponse) {
	c.t.Helper()
	c.send(&discovery.DeltaDiscoveryRequest{TypeUrl: m.GetTypeUrl(), ResponseNonce: m.GetNonce()})
}

func (c *client) nack(m *discovery.DeltaDiscoveryResponse, message string) {
	c.t.Helper()
	c.send(&discovery.DeltaDiscoveryRequest{
		TypeUrl: m.GetTypeUrl(), ResponseNonce: m.GetNonce(),
		ErrorDetail: &status.Status{Code: int32(codes.InvalidArgument), Message: message},
	})
}

func (c *client) next() *discovery.DeltaDiscoveryResponse {
	c.t.Helper()
	select {
	case m, open := <-c.got:
		if !open {
			c.t.Fatalf("stream ended: %v", c.err)
		}
		return m
	case <-time.After(patience):
		c.t.Fatal("no response came")
		return nil
	}
}

// expect takes the next response, which must be of that content: the type's
// short name, then name=version for resources and -name for removals.
func (c *client) expect(want string) *discovery.DeltaDiscoveryResponse {
	c.t.Helper()
	m := c.next()
	if got := show(m); got != want {
		c.t.Fatalf("got  %s\nwant %s", got, want)
	}
	return m
}

// take is expect with an ACK.
func (c *client) take(want string) {
	c.t.Helper()
	c.ack(c.expect(want))
}

const probeType = "type.googleapis.com/test.Probe"

// quiet checks that nothing was sent before the answer to a question that the
// session takes after everything before it.
func (c *client) quiet() {
	c.t.Helper()
	c.probes++
	name := fmt.Sprintf("probe-%d", c.probes)
	c.subscribe(probeType, name)
	c.take("Probe -" + name)
}

func show(m *discovery.DeltaDiscoveryResponse) string {
	parts := []string{m.GetTypeUrl()[strings.LastIndexByte(m.GetTypeUrl(), '.')+1:]}
	var items []string
	for _, r := range m.GetResources() {
		it := r.GetName() + "=" + r.GetVersion()
		if len(r.GetAliases()) > 0 {
			it += "@" + strings.Join(r.GetAliases(), ",")
		}
		if r.GetResource() == nil {
			it += "!"
		}
		items = append(items, it)
	}
	for _, n := range m.GetRemovedResources() {
		items = append(items, "-"+n)
	}
	slices.Sort(items)
	return strings.Join(append(parts, items...), " ")
}

// res is a resource whose body is its version.
func res(typ, name, version string) *Resource {
	return &Resource{Type: typ, Name: name, Version: version, Body: []byte(version), Origins: []string{"origin of " + name}}
}

// eds is a cluster that needs endpoints of its own name.
func eds(name, version string) *Resource {
	r := res(ClusterType, name, version)
	r.EDS = name
	return r
}

func put(l Layer, rs ...*Resource) []Placement {
	var ps []Placement
	for _, r := range rs {
		ps = append(ps, Placement{Layer: l, Resource: r})
	}
	return ps
}

// manual is a clock whose timers fire when the test says so.
type manual struct {
	mu     sync.Mutex
	timers map[chan time.Time]struct{}
}

func (m *manual) NewTimer(time.Duration) (<-chan time.Time, func() bool) {
	c := make(chan time.Time, 1)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.timers == nil {
		m.timers = map[chan time.Time]struct{}{}
	}
	m.timers[c] = struct{}{}
	return c, func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		_, live := m.timers[c]
		delete(m.timers, c)
		return live
	}
}

func (m *manual) fire() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(m.timers)
	for c := range m.timers {
		c <- time.Time{}
	}
	clear(m.timers)
	return n
}

// ledger records events.
type ledger struct {
	mu    sync.Mutex
	lines []string
	nacks []NACK
}

func (l *ledger) ClassWanted(class string, _ *core.Node) { l.add("wanted " + class) }
func (l *ledger) ClassIdle(class string)                 { l.add("idle " + class) }
func (l *ledger) Rejected(n NACK) {
	l.mu.Lock()
	l.nacks = append(l.nacks, n)
	l.mu.Unlock()
	l.add("rejected " + n.Name + "=" + n.Version)
}

func (l *ledger) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
}

func (l *ledger) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := l.lines
	l.lines = nil
	return lines
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
