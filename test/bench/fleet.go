// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/stats"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// fleet is all clients of one run.
type fleet struct {
	target  string
	clients []*client
	bytes   atomic.Int64
	watch   atomic.Pointer[watch]
	many    atomic.Pointer[many]

	names, versions *dictionary
	// needs remembers what a cluster or listener version asks for, because all
	// clients would find out the same.
	needs sync.Map
	// uses are the services that a client calls, where sidecars hold what they
	// use; nil where they hold everything.
	uses func(client int) []int
}

func newFleet(target string, n int) *fleet {
	f := &fleet{target: target, names: newDictionary(), versions: newDictionary()}
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

// workloads is how many workloads the clients are replicas of.
const workloads = 50

// nodeOf is the sidecar of replica i of one of fifty workloads in ten namespaces.
func nodeOf(i int) *core.Node {
	namespace, workload := namespaceOf(i), fmt.Sprintf("client-%d", i%workloads)
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

func (f *fleet) disconnect() {
	for _, c := range f.clients {
		c.disconnect()
	}
}

type need struct {
	kind kind
	name uint32
}

// needed returns what a cluster or a listener makes a client ask for.
func (f *fleet) needed(k kind, r resource) []need {
	if k != clusters && k != listeners {
		return nil
	}
	type content struct {
		kind          kind
		name, version uint32
	}
	key := content{k, r.name, r.version}
	if known, ok := f.needs.Load(key); ok {
		return known.([]need)
	}
	var needs []need
	if k == clusters {
		needs = f.clusterNeeds(r)
	} else {
		needs = f.listenerNeeds(r)
	}
	f.needs.Store(key, needs)
	return needs
}

func (f *fleet) clusterNeeds(r resource) []need {
	c := new(cluster.Cluster)
	if proto.Unmarshal(r.body, c) != nil || c.GetType() != cluster.Cluster_EDS {
		return nil
	}
	name := c.GetEdsClusterConfig().GetServiceName()
	if name == "" {
		name = c.GetName()
	}
	return []need{{endpoints, f.names.id([]byte(name))}}
}

func (f *fleet) listenerNeeds(r resource) []need {
	l := new(listener.Listener)
	if proto.Unmarshal(r.body, l) != nil {
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
				needs = append(needs, need{routes, f.names.id([]byte(name))})
			}
		}
	}
	return needs
}

// synced tells whether a client has all that it waits for, of n services.
func (f *fleet) synced(c *client, n int) (bool, error) {
	have, err := c.state()
	if err != nil {
		return false, err
	}
	if f.uses == nil {
		return have[clusters] >= 2*n && have[endpoints] >= 2*n && have[hosts] >= n && have[listeners] >= n && have[routes] >= 1, nil
	}
	if have[listeners] == 0 {
		return false, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, i := range f.uses(c.index) {
		if !c.holds(hosts, f.names.id([]byte(hostName(i)))) || !c.holds(endpoints, f.names.id([]byte(clusterName(i)))) {
			return false, nil
		}
	}
	return true, nil
}

// stillness is how long nothing comes to clients that are in sync.
const stillness = 300 * time.Millisecond

// sync waits until all clients hold everything and nothing came for a moment,
// and returns when the last of it came.
func (f *fleet) sync(ctx context.Context, services int) (time.Time, error) {
	start, last, bytes, done := time.Now(), time.Now(), int64(-1), 0
	for {
		// Clients become in sync one after the other and stay so.
		for done < len(f.clients) {
			ok, err := f.synced(f.clients[done], services)
			if err != nil {
				return last, err
			}
			if !ok {
				break
			}
			done++
		}
		if now := f.bytes.Load(); now != bytes || done < len(f.clients) {
			bytes, last = now, time.Now()
		}
		if done == len(f.clients) && time.Since(last) > stillness {
			return last, nil
		}
		if time.Since(start) > 5*patience {
			have, _ := f.clients[done].state()
			return last, fmt.Errorf("clients are not in sync after %v; one holds %v", 5*patience, have)
		}
		select {
		case <-ctx.Done():
			return last, ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}
