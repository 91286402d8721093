// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/stats"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

const (
	typeCluster  = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	typeEndpoint = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
	typeListener = "type.googleapis.com/envoy.config.listener.v3.Listener"
	typeRoute    = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
	typeHost     = "type.googleapis.com/envoy.config.route.v3.VirtualHost"
)

// question is the name of an assignment that does not exist.
const question = "bench|question"

// maxResponse is more than any response should have.
const maxResponse = 64 << 20

// client is one proxy as the control plane sees it: it subscribes and
// acknowledges as Envoy does, and applies nothing.
type client struct {
	fleet *fleet
	index int

	mu sync.Mutex
	// held are the names and versions by type.
	held map[string]map[string]string
	// wanted are the endpoints and routes that it asked for.
	wanted map[string]map[string]bool
	// answered is true when everything that was asked first has been answered.
	answered bool
	stop     context.CancelFunc
	ended    chan struct{}
	err      error
}

// fleet is all clients of one run.
type fleet struct {
	target  string
	clients []*client
	bytes   atomic.Int64
	watch   atomic.Pointer[watch]
	many    atomic.Pointer[many]
	// needs remembers what a cluster or listener version asks for, because all
	// clients would find out the same.
	needs sync.Map
}

func newFleet(target string, n int) *fleet {
	f := &fleet{target: target}
	for i := range n {
		f.clients = append(f.clients, &client{fleet: f, index: i})
	}
	return f
}

// TagRPC, HandleRPC, TagConn and HandleConn count what comes over the wire.
func (f *fleet) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (f *fleet) HandleRPC(_ context.Context, s stats.RPCStats) {
	if in, ok := s.(*stats.InPayload); ok {
		f.bytes.Add(int64(in.WireLength))
	}
}

func (f *fleet) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

func (f *fleet) HandleConn(context.Context, stats.ConnStats) {}

// node is the sidecar of replica i of one of fifty workloads in ten namespaces.
func node(i int) *core.Node {
	namespace, workload := namespaceOf(i), fmt.Sprintf("client-%d", i%50)
	meta, err := structpb.NewStruct(map[string]any{
		"NAMESPACE": namespace, "CLUSTER_ID": "Kubernetes", "SERVICE_ACCOUNT": "default",
		"WORKLOAD_NAME": workload, "LABELS": map[string]any{"app": workload},
		"INSTANCE_IPS": fmt.Sprintf("10.250.%d.%d", i/250, i%250+1), "PROXY_VERSION": "1.40.0",
	})
	if err != nil {
		panic(err) // The literal above is a valid struct.
	}
	return &core.Node{
		Id:      fmt.Sprintf("sidecar~10.250.%d.%d~%s-%d.%s~%s.svc.cluster.local", i/250, i%250+1, workload, i, namespace, namespace),
		Cluster: workload + "." + namespace, Metadata: meta,
	}
}

// connect connects all clients at once.
func (f *fleet) connect(keep bool) error {
	var g errgroup.Group
	for _, c := range f.clients {
		g.Go(func() error { return c.connect(keep) })
	}
	return g.Wait()
}

// connect opens the stream. keep says whether the client still holds what it
// held before, as Envoy does, or is a new process.
func (c *client) connect(keep bool) error {
	conn, err := grpc.NewClient(c.fleet.target,
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithStatsHandler(c.fleet),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxResponse)))
	if err != nil {
		return fmt.Errorf("dial %s: %w", c.fleet.target, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		cancel()
		return fmt.Errorf("open a stream to %s: %w", c.fleet.target, err)
	}
	c.mu.Lock()
	if !keep || c.held == nil {
		c.held, c.wanted = map[string]map[string]string{}, map[string]map[string]bool{}
	}
	c.answered = !keep
	c.stop, c.ended = cancel, make(chan struct{})
	c.mu.Unlock()
	go func() {
		defer close(c.ended)
		defer conn.Close()
		if err := c.serve(stream, keep); !errors.Is(err, io.EOF) && ctx.Err() == nil {
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

type stream = grpc.BidiStreamingClient[discovery.DeltaDiscoveryRequest, discovery.DeltaDiscoveryResponse]

// first returns the first request of a type on a stream.
func (c *client) first(typ string, names []string) *discovery.DeltaDiscoveryRequest {
	return &discovery.DeltaDiscoveryRequest{TypeUrl: typ, ResourceNamesSubscribe: names, InitialResourceVersions: c.held[typ]}
}

// serve runs until the stream ends, and returns why it did.
func (c *client) serve(s stream, keep bool) error {
	open := map[string]bool{typeCluster: true}
	request := c.first(typeCluster, nil)
	request.Node = node(c.index)
	if err := s.Send(request); err != nil {
		return err
	}
	if keep {
		for _, typ := range []string{typeEndpoint, typeListener, typeRoute, typeHost} {
			open[typ] = true
			if err := s.Send(c.first(typ, keys(c.wanted[typ]))); err != nil {
				return err
			}
		}
		// Nothing may be sent to a client that holds everything. The answer to
		// one more question tells that the rest has been dealt with.
		if err := s.Send(&discovery.DeltaDiscoveryRequest{TypeUrl: typeEndpoint, ResourceNamesSubscribe: []string{question}}); err != nil {
			return err
		}
	}
	for {
		m, err := s.Recv()
		if err != nil {
			return err
		}
		asks := c.apply(m)
		for _, typ := range []string{typeEndpoint, typeRoute} {
			if a := asks[typ]; len(a.subscribe)+len(a.unsubscribe) > 0 {
				open[typ] = true
				if err := s.Send(&discovery.DeltaDiscoveryRequest{TypeUrl: typ, ResourceNamesSubscribe: a.subscribe, ResourceNamesUnsubscribe: a.unsubscribe}); err != nil {
					return err
				}
			}
		}
		// Envoy asks for listeners when it has clusters, for hosts when it has
		// a route configuration.
		for _, next := range []struct{ after, typ string }{{typeCluster, typeListener}, {typeRoute, typeHost}} {
			if m.GetTypeUrl() == next.after && !open[next.typ] {
				open[next.typ] = true
				if err := s.Send(&discovery.DeltaDiscoveryRequest{TypeUrl: next.typ}); err != nil {
					return err
				}
			}
		}
		if err := s.Send(&discovery.DeltaDiscoveryRequest{TypeUrl: m.GetTypeUrl(), ResponseNonce: m.GetNonce()}); err != nil {
			return err
		}
	}
}

// ask is a change of a subscription.
type ask struct{ subscribe, unsubscribe []string }

// apply notes what a response brought and returns what it makes the client
// ask for.
func (c *client) apply(m *discovery.DeltaDiscoveryResponse) map[string]ask {
	typ := m.GetTypeUrl()
	w, many := c.fleet.watch.Load(), c.fleet.many.Load()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held[typ] == nil {
		c.held[typ] = map[string]string{}
	}
	asks := map[string]ask{}
	for _, r := range m.GetResources() {
		c.held[typ][r.GetName()] = r.GetVersion()
		for _, need := range c.fleet.needed(typ, r) {
			if c.wanted[need.typ] == nil {
				c.wanted[need.typ] = map[string]bool{}
			}
			if !c.wanted[need.typ][need.name] {
				c.wanted[need.typ][need.name] = true
				a := asks[need.typ]
				a.subscribe = append(a.subscribe, need.name)
				asks[need.typ] = a
			}
		}
		w.see(c.index, typ, r)
		many.see(c.index, typ, r)
	}
	for _, name := range m.GetRemovedResources() {
		if name == question {
			c.answered = true
		}
		delete(c.held[typ], name)
		if typ == typeCluster && c.wanted[typeEndpoint][name] {
			delete(c.wanted[typeEndpoint], name)
			delete(c.held[typeEndpoint], name)
			a := asks[typeEndpoint]
			a.unsubscribe = append(a.unsubscribe, name)
			asks[typeEndpoint] = a
		}
	}
	return asks
}

type need struct{ typ, name string }

// needed returns what a cluster or a listener makes a client ask for.
func (f *fleet) needed(typ string, r *discovery.Resource) []need {
	if typ != typeCluster && typ != typeListener {
		return nil
	}
	key := typ + "\x00" + r.GetName() + "\x00" + r.GetVersion()
	if known, ok := f.needs.Load(key); ok {
		return known.([]need)
	}
	var needs []need
	if typ == typeCluster {
		needs = clusterNeeds(r)
	} else {
		needs = listenerNeeds(r)
	}
	f.needs.Store(key, needs)
	return needs
}

func clusterNeeds(r *discovery.Resource) []need {
	c := new(cluster.Cluster)
	if proto.Unmarshal(r.GetResource().GetValue(), c) != nil || c.GetType() != cluster.Cluster_EDS {
		return nil
	}
	name := c.GetEdsClusterConfig().GetServiceName()
	if name == "" {
		name = c.GetName()
	}
	return []need{{typeEndpoint, name}}
}

func listenerNeeds(r *discovery.Resource) []need {
	l := new(listener.Listener)
	if proto.Unmarshal(r.GetResource().GetValue(), l) != nil {
		return nil
	}
	chains := l.GetFilterChains()
	if d := l.GetDefaultFilterChain(); d != nil {
		chains = append(chains, d)
	}
	seen := map[string]bool{}
	var needs []need
	for _, chain := range chains {
		for _, filter := range chain.GetFilters() {
			h := new(hcm.HttpConnectionManager)
			if filter.GetTypedConfig().UnmarshalTo(h) != nil {
				continue
			}
			if name := h.GetRds().GetRouteConfigName(); name != "" && !seen[name] {
				seen[name] = true
				needs = append(needs, need{typeRoute, name})
			}
		}
	}
	return needs
}

// counts returns how many resources of each type the client holds. It holds
// nothing that counts while first requests are unanswered.
func (c *client) counts() (map[string]int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]int{}
	if !c.answered {
		return out, c.err
	}
	for typ, names := range c.held {
		out[typ] = len(names)
	}
	return out, c.err
}
