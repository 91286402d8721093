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
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/meshwright/meshwright/test/port"
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

// bazaar is 2,000 services and a proxy that holds next to nothing of them.
type bazaar struct {
	t                   *testing.T
	up                  int
	ads, admin, p1, tcp int
	config, rest        *Resource
	hub                 *Hub
	server              *grpc.Server
}

const bazaarServices = 2000

// open starts a control plane in which the version of each service is what it says.
func (b *bazaar) open(version func(i int) string) {
	t := b.t
	hub, err := NewHub(Options{Unknown: unknownHostOf, Classify: func(n *core.Node, _ Peer) (string, error) { return n.GetCluster(), nil }})
	if err != nil {
		t.Fatal(err)
	}
	c := clusterOf(t, "tcp.ns", "1", time.Second)
	c.Key = "tcp.ns"
	all := []*Resource{
		b.rest, b.config, asking(t, "http", b.p1, "80"), carrying(t, "tcp", b.tcp, "tcp.ns"),
		says(t, "80", "none.invalid", "none"), c, endpointsOf(t, "tcp.ns", "1", b.up),
	}
	for i := range bazaarServices + 3 {
		if v := version(i); v != "" {
			all = append(all, shopOf(t, i, v, b.up)...)
		}
	}
	hub.Publish(Batch{Set: put("base", all...), Classes: []Class{{Key: "a", Layers: []Layer{"base"}, Scope: &Scope{Asks: true}}}})
	b.hub, b.server = hub, listenAt(t, b.ads, hub)
}

func (b *bazaar) expect(got, want string) {
	b.t.Helper()
	if got != want {
		b.t.Errorf("got %q, want %q", got, want)
	}
}

// TestEnvoyAsks: a proxy that holds next to nothing serves requests to 2,000
// services, and holds what it was used for.
func TestEnvoyAsks(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "upstream %d", len(body))
	}))
	t.Cleanup(upstream.Close)
	b := &bazaar{
		t: t, up: upstream.Listener.Addr().(*net.TCPAddr).Port, ads: int(port.Free(t)), admin: int(port.Free(t)), p1: int(port.Free(t)), tcp: int(port.Free(t)),
		rest: says(t, "80", "*", "rest"),
		config: resourceOf(t, "80", "1", &route.RouteConfiguration{
			Name: "80", Vhds: &route.Vhds{ConfigSource: adsSource}, IgnorePortInHostMatching: true,
		}),
	}
	b.rest.Key = Rest
	b.open(func(i int) string {
		if i < bazaarServices {
			return "1"
		}
		return ""
	})
	runEnvoy(t, b.ads, b.admin)
	eventually(t, b.p1, "none.invalid", "200 none")
	b.holdsWhatIsUsed()
	b.measure()
	b.asksInAllForms()
	b.comesAndGoes()
	b.survivesItsControlPlane()
}

func (b *bazaar) holdsWhatIsUsed() {
	for i := range 5 {
		b.expect(fetch(b.p1, fmt.Sprintf("svc-%d.ns", i)), "200 upstream 0")
	}
	if n := strings.Count(adminGet(b.admin, "/clusters"), "::added_via_api::true"); n != 5 {
		b.t.Errorf("%d clusters after 5 of %d services were used", n, bazaarServices)
	}
	waitFor(b.t, func() bool { return idle(b.hub) })
	before := b.hub.Stats().Bytes
	for i := 5; i < 1000; i++ {
		b.hub.Publish(Batch{Set: put("base", shopOf(b.t, i, "2", b.up)...)})
	}
	b.hub.Publish(Batch{Set: put("base", shopOf(b.t, bazaarServices+1, "1", b.up)...)})
	fetch(b.p1, "svc-1.ns")
	if sent := b.hub.Stats().Bytes - before; sent != 0 {
		b.t.Errorf("%d bytes were sent while other services changed", sent)
	}
}

func (b *bazaar) measure() {
	var first, second []time.Duration
	for i := 100; i < 400; i++ {
		for _, took := range []*[]time.Duration{&first, &second} {
			start := time.Now()
			b.expect(fetch(b.p1, fmt.Sprintf("svc-%d.ns", i)), "200 upstream 0")
			*took = append(*took, time.Since(start))
		}
	}
	for name, took := range map[string][]time.Duration{"first": first, "second": second} {
		slices.Sort(took)
		b.t.Logf("%s request to a host: p50 %v p90 %v p99 %v max %v", name, took[150], took[270], took[297], took[299])
	}
}

func (b *bazaar) asksInAllForms() {
	b.expect(post(b.p1, "svc-500:80", strings.Repeat("x", 100_000)), "200 upstream 100000")
	b.expect(post(b.p1, "SVC-500.ns:80", "x"), "200 upstream 1")
	b.expect(fetch(b.p1, "www.example.com"), "200 rest")
	b.expect(fetch(b.tcp, "anything"), "200 upstream 0")
}

// comesAndGoes is the life of a host that is asked for before it exists.
func (b *bazaar) comesAndGoes() {
	short := fmt.Sprintf("svc-%d", bazaarServices+2)
	b.expect(fetch(b.p1, short), "200 rest")
	goods := shopOf(b.t, bazaarServices+2, "1", b.up)
	b.hub.Publish(Batch{Set: put("base", goods...)})
	eventually(b.t, b.p1, short, "200 upstream")
	var gone []Removal
	for _, r := range goods {
		gone = append(gone, Removal{"base", r.Type, r.Name})
	}
	b.hub.Publish(Batch{Delete: gone})
	eventually(b.t, b.p1, short+".ns", "200 rest")
	b.hub.Publish(Batch{Set: put("base", goods...)})
	eventually(b.t, b.p1, short+".ns", "200 upstream")
}

func (b *bazaar) survivesItsControlPlane() {
	waitFor(b.t, func() bool { return idle(b.hub) })
	b.hub.Close()
	b.server.Stop()
	for i := 100; i < 400; i += 50 {
		b.expect(fetch(b.p1, fmt.Sprintf("svc-%d.ns", i)), "200 upstream 0") // nobody is there to ask
	}
	answer := make(chan string)
	go func() { answer <- fetch(b.p1, "svc-600.ns") }()
	time.Sleep(100 * time.Millisecond)
	b.open(func(i int) string {
		if i >= 5 && i < 1000 {
			return "2"
		}
		return "1"
	})
	b.expect(<-answer, "200 upstream 0")
	waitFor(b.t, func() bool { return idle(b.hub) })
	s := b.hub.Stats()
	b.t.Logf("a new control plane sent %d responses of %d bytes to a proxy that lacked one host", s.Responses, s.Bytes)
	if s.Bytes > 4<<10 {
		b.t.Error("it sent what the proxy held")
	}
	if got := len(b.hub.Lessons("a")); got != 5+300+1+1+1+1 {
		b.t.Errorf("the new control plane learned of %d resources", got)
	}
}
