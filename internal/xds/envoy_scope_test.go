// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	ondemand "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/on_demand/v3"
	router "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpproxy "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// asking is a listener whose requests ask for hosts and clusters.
func asking(t testing.TB, name string, port int, rc string) *Resource {
	od := &ondemand.OnDemand{Odcds: &ondemand.OnDemandCds{Source: adsSource, Timeout: durationpb.New(5 * time.Second)}}
	h := &hcm.HttpConnectionManager{
		StatPrefix:     rc,
		RouteSpecifier: &hcm.HttpConnectionManager_Rds{Rds: &hcm.Rds{ConfigSource: adsSource, RouteConfigName: rc}},
		HttpFilters: []*hcm.HttpFilter{
			{Name: "envoy.filters.http.on_demand", ConfigType: &hcm.HttpFilter_TypedConfig{TypedConfig: pack(t, od)}},
			{Name: "envoy.filters.http.router", ConfigType: &hcm.HttpFilter_TypedConfig{TypedConfig: pack(t, &router.Router{})}},
		},
	}
	return resourceOf(t, name, "1", &listener.Listener{
		Name: name, Address: address(port),
		FilterChains: []*listener.FilterChain{{Filters: []*listener.Filter{{Name: "http", ConfigType: &listener.Filter_TypedConfig{TypedConfig: pack(t, h)}}}}},
	})
}

// carrying is a listener that carries bytes to a cluster that it asks for.
func carrying(t testing.TB, name string, port int, to string) *Resource {
	p := &tcpproxy.TcpProxy{
		StatPrefix: name, ClusterSpecifier: &tcpproxy.TcpProxy_Cluster{Cluster: to},
		OnDemand: &tcpproxy.TcpProxy_OnDemand{OdcdsConfig: adsSource},
	}
	return resourceOf(t, name, "1", &listener.Listener{
		Name: name, Address: address(port),
		FilterChains: []*listener.FilterChain{{Filters: []*listener.Filter{{Name: "tcp", ConfigType: &listener.Filter_TypedConfig{TypedConfig: pack(t, p)}}}}},
	})
}

// shopOf is the i-th of many: a host with a short name, a cluster, endpoints.
func shopOf(t testing.TB, i int, version string, up int) []*Resource {
	short := fmt.Sprintf("svc-%d", i)
	full := short + ".ns"
	name := "80/" + full
	vh := resourceOf(t, name, version, &route.VirtualHost{Name: name, Domains: []string{full, short}, Routes: []*route.Route{{
		Match:  prefix(),
		Action: &route.Route_Route{Route: &route.RouteAction{ClusterSpecifier: &route.RouteAction_Cluster{Cluster: full}}},
	}}})
	vh.Key, vh.Aliases, vh.Needs = full, []string{"80/" + short}, []string{full}
	c := clusterOf(t, full, version, time.Second)
	c.Key = full
	return []*Resource{vh, c, endpointsOf(t, full, version, up)}
}

func post(port int, host, body string) string {
	req, err := http.NewRequest(http.MethodPost, fmt.Sprintf("http://127.0.0.1:%d/", port), strings.NewReader(body))
	if err != nil {
		return err.Error()
	}
	req.Host = host
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	got, _ := io.ReadAll(resp.Body)
	return fmt.Sprintf("%d %s", resp.StatusCode, got)
}

// unknownHostOf is what mesh does: the host for all others, for one.
func unknownHostOf(rest *Resource, name string) (*Resource, error) {
	var vh route.VirtualHost
	if err := proto.Unmarshal(rest.Body, &vh); err != nil {
		return nil, err
	}
	_, host, _ := strings.Cut(name, "/")
	vh.Name, vh.Domains = name, []string{host}
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(&vh)
	return &Resource{Type: VirtualHostType, Name: name, Version: "unknown", Body: body}, err
}

// TestEnvoyAsks: a proxy that holds next to nothing serves requests to 2,000
// services, and holds what it was used for.
func TestEnvoyAsks(t *testing.T) {
	const services = 2000
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "upstream %d", len(body))
	}))
	t.Cleanup(upstream.Close)
	up := upstream.Listener.Addr().(*net.TCPAddr).Port
	ads, admin, p1, p2 := freePort(t), freePort(t), freePort(t), freePort(t)

	config := resourceOf(t, "80", "1", &route.RouteConfiguration{Name: "80", Vhds: &route.Vhds{ConfigSource: adsSource}, IgnorePortInHostMatching: true})
	var all []*Resource
	for i := range services {
		all = append(all, shopOf(t, i, "1", up)...)
	}
	rest := says(t, "80", "*", "rest")
	rest.Key = Rest
	tcp := clusterOf(t, "tcp.ns", "1", time.Second)
	tcp.Key = "tcp.ns"
	common := []*Resource{
		rest, asking(t, "http", p1, "80"), carrying(t, "tcp", p2, "tcp.ns"), config,
		says(t, "80", "none.invalid", "none"), tcp, endpointsOf(t, "tcp.ns", "1", up),
	}
	all = append(all, common...)
	newHub := func() *Hub {
		hub, err := NewHub(Options{Unknown: unknownHostOf, Classify: func(n *core.Node, _ Peer) (string, error) { return n.GetCluster(), nil }})
		if err != nil {
			t.Fatal(err)
		}
		hub.Publish(Batch{Set: put("base", all...), Classes: []Class{{Key: "a", Layers: []Layer{"base"}, Scope: &Scope{Asks: true}}}})
		return hub
	}
	hub := newHub()
	g := listenAt(t, ads, hub)
	runEnvoy(t, ads, admin)
	clusters := func() int { return strings.Count(adminGet(admin, "/clusters"), "::added_via_api::true") }
	expect := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	eventually(t, p1, "none.invalid", "200 none")

	for i := range 5 {
		expect(fetch(p1, fmt.Sprintf("svc-%d.ns", i)), "200 upstream 0")
	}
	if n := clusters(); n != 5 {
		t.Errorf("%d clusters after 5 of %d services were used", n, services)
	}
	waitFor(t, func() bool { return idle(hub) })
	before := hub.Stats().Bytes
	for i := 5; i < 1000; i++ {
		hub.Publish(Batch{Set: put("base", shopOf(t, i, "2", up)...)})
	}
	hub.Publish(Batch{Set: put("base", shopOf(t, services+1, "1", up)...)})
	fetch(p1, "svc-1.ns")
	if sent := hub.Stats().Bytes - before; sent != 0 {
		t.Errorf("%d bytes were sent while other services changed", sent)
	}

	var first, second []time.Duration
	for i := 100; i < 400; i++ {
		host := fmt.Sprintf("svc-%d.ns", i)
		for _, took := range []*[]time.Duration{&first, &second} {
			start := time.Now()
			expect(fetch(p1, host), "200 upstream 0")
			*took = append(*took, time.Since(start))
		}
	}
	slices.Sort(first)
	slices.Sort(second)
	t.Logf("first request to a host: p50 %v p90 %v p99 %v max %v", first[150], first[270], first[297], first[299])
	t.Logf("second request to it:    p50 %v p90 %v p99 %v max %v", second[150], second[270], second[297], second[299])

	expect(post(p1, "svc-500:80", strings.Repeat("x", 100_000)), "200 upstream 100000")
	expect(post(p1, "SVC-500.ns:80", "x"), "200 upstream 1")
	expect(fetch(p1, "www.example.com"), "200 rest")
	expect(fetch(p2, "anything"), "200 upstream 0")

	// A host that was asked for in vain appears, under another of its names.
	expect(fetch(p1, fmt.Sprintf("svc-%d", services+2)), "200 rest")
	hub.Publish(Batch{Set: put("base", shopOf(t, services+2, "1", up)...)})
	eventually(t, p1, fmt.Sprintf("svc-%d", services+2), "200 upstream")
	// One that was used goes and comes back.
	gone := shopOf(t, services+2, "1", up)
	hub.Publish(Batch{Delete: []Removal{{"base", VirtualHostType, gone[0].Name}, {"base", ClusterType, gone[1].Name}, {"base", EndpointType, gone[2].Name}}})
	eventually(t, p1, fmt.Sprintf("svc-%d.ns", services+2), "200 rest")
	hub.Publish(Batch{Set: put("base", gone...)})
	eventually(t, p1, fmt.Sprintf("svc-%d.ns", services+2), "200 upstream")

	waitFor(t, func() bool { return idle(hub) })
	hub.Close()
	g.Stop()
	for i := 100; i < 400; i += 50 {
		expect(fetch(p1, fmt.Sprintf("svc-%d.ns", i)), "200 upstream 0") // nobody is there to ask
	}
	answer := make(chan string)
	go func() { answer <- fetch(p1, "svc-600.ns") }()
	time.Sleep(100 * time.Millisecond)
	all = all[:0]
	for i := range services {
		version := "1"
		if i >= 5 && i < 1000 {
			version = "2"
		}
		all = append(all, shopOf(t, i, version, up)...)
	}
	all = append(all, common...)
	all = append(all, gone...)
	hub = newHub()
	listenAt(t, ads, hub)
	expect(<-answer, "200 upstream 0")
	waitFor(t, func() bool { return idle(hub) })
	if s := hub.Stats(); s.Bytes > 4<<10 {
		t.Errorf("%d responses of %d bytes were sent to a proxy that lacked one host", s.Responses, s.Bytes)
	} else {
		t.Logf("a new control plane sent %d responses of %d bytes, with one host that was new", s.Responses, s.Bytes)
	}
	if got := len(hub.Lessons("a")); got != 5+300+1+1+1+1 {
		t.Errorf("the new control plane learned of %d resources", got)
	}
}
