// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// question is the name of an assignment that does not exist.
const question = "bench|question"

// maxResponse is more than any response should have.
const maxResponse = 64 << 20

// window is what the control plane may send before a client reads it, in bytes: what
// Envoy allows, or less when all clients together could not hold that.
func (f *fleet) window() int32 {
	const envoys, all = 16 << 20, 4 << 30
	return int32(min(envoys, all/max(1, len(f.clients))))
}

// client is one proxy as the control plane sees it: it subscribes and
// acknowledges as Envoy does, and applies nothing.
type client struct {
	fleet *fleet
	index int

	mu sync.Mutex
	// held has for each name the version, 0 for none; wanted says which names
	// were asked for. Both go by the fleet's dictionaries.
	held   [kinds][]uint32
	wanted [kinds][]bool
	// counts are how many names are held.
	counts [kinds]int
	// answered is true when everything that was asked first has been answered.
	answered bool
	stop     context.CancelFunc
	ended    chan struct{}
	err      error
}

// connect opens the stream. keep says whether the client still holds what it
// held before, as Envoy does, or is a new process.
func (c *client) connect(keep bool) error {
	window := c.fleet.window()
	conn, err := grpc.NewClient(c.fleet.target,
		// Envoy's windows are as fixed and as large; gRPC for Go would answer data with pings to find out.
		grpc.WithInitialWindowSize(window), grpc.WithInitialConnWindowSize(window),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithStatsHandler(c.fleet),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1, MaxDelay: 50 * time.Millisecond}, MinConnectTimeout: time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxResponse), grpc.ForceCodecV2(codec{c.fleet}), grpc.WaitForReady(true)))
	if err != nil {
		return fmt.Errorf("dial %s: %w", c.fleet.target, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true},
		discovery.AggregatedDiscoveryService_DeltaAggregatedResources_FullMethodName)
	if err != nil {
		cancel()
		return fmt.Errorf("open a stream to %s: %w", c.fleet.target, err)
	}
	c.mu.Lock()
	if !keep {
		c.held, c.wanted, c.counts = [kinds][]uint32{}, [kinds][]bool{}, [kinds]int{}
	}
	c.answered = !keep
	c.stop, c.ended = cancel, make(chan struct{})
	c.mu.Unlock()
	go func() {
		defer close(c.ended)
		defer conn.Close()
		if err := c.serve(s, keep); !errors.Is(err, io.EOF) && ctx.Err() == nil {
			c.mu.Lock()
			c.err = fmt.Errorf("client %d: %w", c.index, err)
			c.mu.Unlock()
		}
	}()
	return nil
}

func (c *client) disconnect() {
	c.stop()
	<-c.ended
}

// The fields of DeltaDiscoveryRequest in envoy/service/discovery/v3/discovery.proto.
const requestType, requestSubscribe, requestHeld = 2, 3, 5

// first returns the first request of a type on a stream, marshalled here: it
// may have thousands of names.
func (c *client) first(k kind, node *core.Node) (marshalled, error) {
	b, err := proto.Marshal(&discovery.DeltaDiscoveryRequest{Node: node})
	if err != nil {
		return nil, err
	}
	text := func(b []byte, field protowire.Number, text string) []byte {
		return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), text)
	}
	b = text(b, requestType, typeURLs[k])
	c.mu.Lock()
	defer c.mu.Unlock()
	some := false
	for id, wanted := range c.wanted[k] {
		if wanted {
			some = true
			b = text(b, requestSubscribe, c.fleet.names.text(uint32(id)))
		}
	}
	if k == hosts && some {
		b = text(b, requestSubscribe, "*")
	}
	var entry []byte
	for id, version := range c.held[k] {
		if version != 0 {
			entry = text(text(entry[:0], 1, c.fleet.names.text(uint32(id))), 2, c.fleet.versions.text(version))
			b = protowire.AppendBytes(protowire.AppendTag(b, requestHeld, protowire.BytesType), entry)
		}
	}
	return b, nil
}

// open sends the first request of a type.
func (c *client) open(s grpc.ClientStream, k kind, node *core.Node) error {
	request, err := c.first(k, node)
	if err != nil {
		return err
	}
	return s.SendMsg(request)
}

// serve runs until the stream ends, and returns why it did.
func (c *client) serve(s grpc.ClientStream, keep bool) error {
	open := [kinds]bool{clusters: true}
	if err := c.open(s, clusters, nodeOf(c.index)); err != nil {
		return err
	}
	if keep {
		for k := endpoints; k < kinds; k++ {
			open[k] = true
			if err := c.open(s, k, nil); err != nil {
				return err
			}
		}
		// Nothing may be sent to a client that holds everything. The answer to
		// one more question tells that the rest has been dealt with.
		if err := s.SendMsg(&discovery.DeltaDiscoveryRequest{TypeUrl: typeURLs[endpoints], ResourceNamesSubscribe: []string{question}}); err != nil {
			return err
		}
	}
	m := new(response)
	for {
		if err := s.RecvMsg(m); err != nil {
			return err
		}
		asks := c.apply(m)
		m.free()
		for _, k := range []kind{endpoints, routes} {
			if a := asks[k]; len(a.subscribe)+len(a.unsubscribe) > 0 {
				open[k] = true
				if err := s.SendMsg(&discovery.DeltaDiscoveryRequest{TypeUrl: typeURLs[k], ResourceNamesSubscribe: a.subscribe, ResourceNamesUnsubscribe: a.unsubscribe}); err != nil {
					return err
				}
			}
		}
		// Envoy asks for listeners when it has clusters, for hosts when it has
		// a route configuration.
		for _, next := range []struct{ after, then kind }{{clusters, listeners}, {routes, hosts}} {
			if m.kind == next.after && !open[next.then] {
				open[next.then] = true
				if err := c.begin(s, next.then); err != nil {
					return err
				}
			}
		}
		if err := s.SendMsg(&discovery.DeltaDiscoveryRequest{TypeUrl: typeURLs[m.kind], ResponseNonce: m.nonce}); err != nil {
			return err
		}
	}
}

// begin asks for all of a type, and of hosts for those that the workload uses
// and does not hold.
func (c *client) begin(s grpc.ClientStream, k kind) error {
	if err := s.SendMsg(&discovery.DeltaDiscoveryRequest{TypeUrl: typeURLs[k]}); err != nil || k != hosts || c.fleet.uses == nil {
		return err
	}
	var names []string
	for _, i := range c.fleet.uses(c.index) {
		names = append(names, hostName(i))
		c.want(hosts, c.fleet.names.id([]byte(hostName(i))))
	}
	return s.SendMsg(&discovery.DeltaDiscoveryRequest{TypeUrl: typeURLs[hosts], ResourceNamesSubscribe: names})
}

// want notes that a name was asked for, and tells whether it was not before.
func (c *client) want(k kind, id uint32) bool {
	for int(id) >= len(c.wanted[k]) {
		c.wanted[k] = append(c.wanted[k], make([]bool, int(id)+1-len(c.wanted[k]))...)
	}
	if c.wanted[k][id] {
		return false
	}
	c.wanted[k][id] = true
	return true
}

// hold notes the version of a name; 0 is none.
func (c *client) hold(k kind, id, version uint32) {
	if int(id) >= len(c.held[k]) {
		if version == 0 {
			return
		}
		c.held[k] = append(c.held[k], make([]uint32, int(id)+1-len(c.held[k]))...)
	}
	switch old := c.held[k][id]; {
	case old == 0 && version != 0:
		c.counts[k]++
	case old != 0 && version == 0:
		c.counts[k]--
	}
	c.held[k][id] = version
}

func (c *client) holds(k kind, id uint32) bool {
	return int(id) < len(c.held[k]) && c.held[k][id] != 0
}

// ask is a change of a subscription.
type ask struct{ subscribe, unsubscribe []string }

// apply notes what a response brought and returns what it makes the client
// ask for.
func (c *client) apply(m *response) [kinds]ask {
	w, many := c.fleet.watch.Load(), c.fleet.many.Load()
	c.mu.Lock()
	defer c.mu.Unlock()
	var asks [kinds]ask
	for _, r := range m.resources {
		c.hold(m.kind, r.name, r.version)
		for _, n := range c.fleet.needed(m.kind, r) {
			if c.want(n.kind, n.name) {
				asks[n.kind].subscribe = append(asks[n.kind].subscribe, c.fleet.names.text(n.name))
			}
		}
		if w != nil || many != nil {
			name := c.fleet.names.text(r.name)
			w.see(c.index, m.kind, name)
			many.see(c.index, m.kind, name)
		}
	}
	for _, id := range m.removed {
		if c.fleet.names.text(id) == question {
			c.answered = true
		}
		c.hold(m.kind, id, 0)
		if m.kind == clusters && int(id) < len(c.wanted[endpoints]) && c.wanted[endpoints][id] {
			c.wanted[endpoints][id] = false
			c.hold(endpoints, id, 0)
			asks[endpoints].unsubscribe = append(asks[endpoints].unsubscribe, c.fleet.names.text(id))
		}
	}
	return asks
}

// state returns how many resources of each type the client holds. It holds
// nothing that counts while first requests are unanswered.
func (c *client) state() ([kinds]int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.answered {
		return [kinds]int{}, c.err
	}
	return c.counts, c.err
}
