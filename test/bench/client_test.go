// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/meshwright/meshwright/internal/xds"
)

// hub serves n services as a control plane would, on the loopback interface.
func hub(t *testing.T, n int) (*xds.Hub, string) {
	t.Helper()
	h, err := xds.NewHub(xds.Options{Classify: func(*core.Node, xds.Peer) (string, error) { return "a", nil }})
	if err != nil {
		t.Fatal(err)
	}
	b := xds.Batch{Classes: []xds.Class{{Key: "a", Layers: []xds.Layer{"base"}}}}
	add := func(r *xds.Resource) { b.Set = append(b.Set, xds.Placement{Layer: "base", Resource: r}) }
	manager, err := anypb.New(&hcm.HttpConnectionManager{RouteSpecifier: &hcm.HttpConnectionManager_Rds{Rds: &hcm.Rds{RouteConfigName: "80"}}})
	if err != nil {
		t.Fatal(err)
	}
	add(&xds.Resource{Type: typeURLs[routes], Name: "80", Version: "1"})
	for i := range n {
		for _, port := range []int{httpPort, tcpPort} {
			name := fmt.Sprintf("outbound|%d||%s", port, hostOf(i))
			body, err := proto.Marshal(&cluster.Cluster{Name: name, ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_EDS}})
			if err != nil {
				t.Fatal(err)
			}
			add(&xds.Resource{Type: typeURLs[clusters], Name: name, Version: "1", Body: body, EDS: name})
			add(&xds.Resource{Type: typeURLs[endpoints], Name: name, Version: "1"})
		}
		l := &listener.Listener{FilterChains: []*listener.FilterChain{{Filters: []*listener.Filter{{ConfigType: &listener.Filter_TypedConfig{TypedConfig: manager}}}}}}
		body, err := proto.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		add(&xds.Resource{Type: typeURLs[listeners], Name: fmt.Sprint("listener-", i), Version: "1", Body: body})
		add(&xds.Resource{Type: typeURLs[hosts], Name: "80/" + hostOf(i), Version: "1"})
	}
	h.Publish(b)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	h.Register(g)
	go func() { _ = g.Serve(l) }()
	t.Cleanup(func() { h.Close(); g.Stop() })
	return h, l.Addr().String()
}

func TestFleetSubscribesAsEnvoyDoes(t *testing.T) {
	const services = 20
	h, target := hub(t, services)
	f := newFleet(target, 3)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	open := func(keep bool) {
		for _, c := range f.clients {
			if err := c.connect(keep); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := f.sync(ctx, services); err != nil {
			t.Fatal(err)
		}
	}
	open(false)
	defer func() {
		for _, c := range f.clients {
			c.disconnect()
		}
	}()
	have, err := f.clients[0].state()
	if err != nil {
		t.Fatal(err)
	}
	want := [kinds]int{clusters: 2 * services, endpoints: 2 * services, listeners: services, routes: 1, hosts: services}
	for k, n := range want {
		if have[k] != n {
			t.Errorf("client holds %d of %s, want %d", have[k], typeURLs[k], n)
		}
	}
	if f.bytes.Load() == 0 {
		t.Error("no bytes were counted")
	}

	w := f.expect(endpoints, names(hostOf(7), httpPort))
	h.Publish(xds.Batch{Set: []xds.Placement{{Layer: "base", Resource: &xds.Resource{
		Type: typeURLs[endpoints], Name: fmt.Sprintf("outbound|%d||%s", httpPort, hostOf(7)), Version: "2",
	}}}})
	took, err := w.wait(ctx)
	if err != nil || len(took) != 3 {
		t.Errorf("%d clients got the change, error %v", len(took), err)
	}

	// Proxies that reconnect hold everything: they are sent next to nothing.
	before := h.Stats().Responses
	for _, c := range f.clients {
		c.disconnect()
	}
	open(true)
	if sent := h.Stats().Responses - before; sent != 3 {
		t.Errorf("%d responses were sent to 3 clients that hold everything, more than the answer to their question", sent)
	}
}

func TestUsageOfAProcess(t *testing.T) {
	before, err := usageOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(50 * time.Millisecond); time.Now().Before(end); {
		_ = fmt.Sprint(before)
	}
	after, err := usageOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if after.cpu <= before.cpu || after.rss <= 0 || after.max < after.rss {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if _, err := usageOf(-1); err == nil {
		t.Error("no error for a process that does not exist")
	}
}

func TestQuantile(t *testing.T) {
	var all []time.Duration
	for i := range 100 {
		all = append(all, time.Duration(i+1))
	}
	for _, tc := range []struct {
		p    float64
		want time.Duration
	}{{0, 1}, {0.5, 50}, {0.99, 99}, {1, 100}} {
		if got := quantile(all, tc.p); got != tc.want {
			t.Errorf("quantile %v is %d, want %d", tc.p, got, tc.want)
		}
	}
	if got := quantile(nil, 0.5); got != 0 {
		t.Errorf("quantile of nothing is %d", got)
	}
}
