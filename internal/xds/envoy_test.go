// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	ondemand "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/on_demand/v3"
	router "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/meshwright/meshwright/hack/envoy"
	"github.com/meshwright/meshwright/test/port"
)

var adsSource = &core.ConfigSource{ResourceApiVersion: core.ApiVersion_V3, ConfigSourceSpecifier: &core.ConfigSource_Ads{Ads: &core.AggregatedConfigSource{}}}

func pack(t testing.TB, m proto.Message) *anypb.Any {
	t.Helper()
	a, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func resourceOf(t testing.TB, name, version string, m proto.Message) *Resource {
	t.Helper()
	a := pack(t, m)
	return &Resource{Type: a.GetTypeUrl(), Name: name, Version: version, Body: a.GetValue(), Origins: []string{name}}
}

func address(port int) *core.Address {
	return &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{Address: "127.0.0.1", PortSpecifier: &core.SocketAddress_PortValue{PortValue: uint32(port)}}}}
}

func listenerOf(t testing.TB, name string, port int, rc string) *Resource {
	h := &hcm.HttpConnectionManager{
		StatPrefix:     rc,
		RouteSpecifier: &hcm.HttpConnectionManager_Rds{Rds: &hcm.Rds{ConfigSource: adsSource, RouteConfigName: rc}},
		HttpFilters: []*hcm.HttpFilter{
			{Name: "envoy.filters.http.on_demand", ConfigType: &hcm.HttpFilter_TypedConfig{TypedConfig: pack(t, &ondemand.OnDemand{})}},
			{Name: "envoy.filters.http.router", ConfigType: &hcm.HttpFilter_TypedConfig{TypedConfig: pack(t, &router.Router{})}},
		},
	}
	return resourceOf(t, name, "1", &listener.Listener{
		Name: name, Address: address(port),
		FilterChains: []*listener.FilterChain{{Filters: []*listener.Filter{{Name: "http", ConfigType: &listener.Filter_TypedConfig{TypedConfig: pack(t, h)}}}}},
	})
}

func routes(t testing.TB, rc, version string, internal ...string) *Resource {
	return resourceOf(t, rc, version, &route.RouteConfiguration{Name: rc, Vhds: &route.Vhds{ConfigSource: adsSource}, InternalOnlyHeaders: internal})
}

func prefix() *route.RouteMatch {
	return &route.RouteMatch{PathSpecifier: &route.RouteMatch_Prefix{Prefix: "/"}}
}

// says is a host that answers with a fixed body.
func says(t testing.TB, rc, host, body string, domains ...string) *Resource {
	name := rc + "/" + host
	return resourceOf(t, name, body, &route.VirtualHost{Name: name, Domains: append([]string{host}, domains...), Routes: []*route.Route{{
		Match: prefix(),
		Action: &route.Route_DirectResponse{DirectResponse: &route.DirectResponseAction{
			Status: 200, Body: &core.DataSource{Specifier: &core.DataSource_InlineString{InlineString: body}},
		}},
	}}})
}

// forwards is a host that sends requests to a cluster.
func forwards(t testing.TB, rc, host, version, to string) *Resource {
	name := rc + "/" + host
	return resourceOf(t, name, version, &route.VirtualHost{Name: name, Domains: []string{host}, Routes: []*route.Route{{
		Match:  prefix(),
		Action: &route.Route_Route{Route: &route.RouteAction{ClusterSpecifier: &route.RouteAction_Cluster{Cluster: to}}},
	}}})
}

func clusterOf(t testing.TB, name, version string, timeout time.Duration) *Resource {
	r := resourceOf(t, name, version, &cluster.Cluster{
		Name: name, ConnectTimeout: durationpb.New(timeout),
		ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_EDS},
		EdsClusterConfig:     &cluster.Cluster_EdsClusterConfig{EdsConfig: adsSource},
	})
	r.EDS = name
	return r
}

func endpointsOf(t testing.TB, name, version string, port int) *Resource {
	return resourceOf(t, name, version, &endpoint.ClusterLoadAssignment{ClusterName: name, Endpoints: []*endpoint.LocalityLbEndpoints{{
		LbEndpoints: []*endpoint.LbEndpoint{{HostIdentifier: &endpoint.LbEndpoint_Endpoint{Endpoint: &endpoint.Endpoint{Address: address(port)}}}},
	}}})
}

// runEnvoy starts the pinned Envoy with its discovery at a port.
func runEnvoy(t *testing.T, ads, admin int) {
	t.Helper()
	binary := os.Getenv("ENVOY")
	if binary == "" {
		var err error
		if binary, err = envoy.Path(""); err != nil {
			t.Fatal(err)
		}
	}
	config := fmt.Sprintf(`
admin: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}
node: {id: envoy, cluster: a}
dynamic_resources:
  ads_config: {api_type: DELTA_GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: xds}}]}
  cds_config: {ads: {}, resource_api_version: V3}
  lds_config: {ads: {}, resource_api_version: V3}
static_resources:
  clusters:
  - name: xds
    type: STATIC
    typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http2_protocol_options: {}}}}
    load_assignment: {cluster_name: xds, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}}]}]}
`, admin, ads)
	dir := t.TempDir()
	path := filepath.Join(dir, "envoy.yaml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	output, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "-c", path, "-l", "warning", "--use-dynamic-base-id", "--concurrency", "1")
	cmd.Stdout, cmd.Stderr = output, output
	// The process must not outlive a test that was killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(output.Name())
			t.Logf("envoy said:\n%s", text)
		}
	})
}

// listenAt serves a hub on a port of the loopback interface, which an earlier
// server may only just have left.
func listenAt(t *testing.T, port int, hub *Hub) *grpc.Server {
	t.Helper()
	var l net.Listener
	waitFor(t, func() bool {
		var err error
		l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		return err == nil
	})
	g := grpc.NewServer()
	hub.Register(g)
	go func() { _ = g.Serve(l) }()
	t.Cleanup(g.Stop)
	return g
}

// fetch asks Envoy for a host and returns status and body.
func fetch(port int, host string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/", port), nil)
	if err != nil {
		return err.Error()
	}
	req.Host = host
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, body)
}

func eventually(t *testing.T, port int, host, want string) {
	t.Helper()
	var got string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if got = fetch(port, host); strings.HasPrefix(got, want) {
			return
		}
	}
	t.Fatalf("host %s at %d answers %q, want %q", host, port, got, want)
}

// TestEnvoy drives the pinned Envoy through what its discovery is known to be
// particular about.
func TestEnvoy(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "upstream") }))
	t.Cleanup(upstream.Close)
	upPort := upstream.Listener.Addr().(*net.TCPAddr).Port
	events := &ledger{}
	opts := Options{Events: events, Classify: func(n *core.Node, _ Peer) (string, error) { return n.GetCluster(), nil }}
	hub, err := NewHub(opts)
	if err != nil {
		t.Fatal(err)
	}
	ads, admin, p1, p2 := int(port.Free(t)), int(port.Free(t)), int(port.Free(t)), int(port.Free(t))
	g := listenAt(t, ads, hub)
	classes := []Class{{Key: "a", Layers: []Layer{"base"}}}
	hub.Publish(Batch{Classes: classes, Set: put("base",
		listenerOf(t, "l1", p1, "80"), routes(t, "80", "1"), says(t, "80", "a.example", "a1"), says(t, "80", "b.example", "b1"),
		says(t, "81", "early.example", "e1"))})
	begin := time.Now()
	runEnvoy(t, ads, admin)

	eventually(t, p1, "a.example", "200 a1")
	eventually(t, p1, "b.example", "200 b1")
	// Envoy gives up waiting for any one thing after 15 seconds, and then
	// goes on as if nothing had been: only the time shows a wait in vain.
	inTime := func(t *testing.T, start time.Time) {
		t.Helper()
		if took := time.Since(start); took > 8*time.Second {
			t.Errorf("it took %v: Envoy waited for something that never came", took)
		}
	}
	inTime(t, begin)

	t.Run("single hosts change", func(t *testing.T) {
		hub.Publish(Batch{Set: put("base", says(t, "80", "a.example", "a2"), says(t, "80", "c.example", "c1")), Delete: []Removal{{"base", VirtualHostType, "80/b.example"}}})
		eventually(t, p1, "a.example", "200 a2")
		eventually(t, p1, "c.example", "200 c1")
		eventually(t, p1, "b.example", "404")
	})
	t.Run("a route configuration keeps its hosts", func(t *testing.T) {
		hub.Publish(Batch{Set: put("base", routes(t, "80", "2", "x-internal"))})
		waitFor(t, func() bool { return idle(hub) })
		eventually(t, p1, "a.example", "200 a2")
	})
	t.Run("a host that does not exist is refused at once", func(t *testing.T) {
		start := time.Now()
		if got := fetch(p1, "none.example"); !strings.HasPrefix(got, "404") {
			t.Errorf("got %s", got)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
		hub.Publish(Batch{Set: put("base", says(t, "80", "none.example", "now"))})
		eventually(t, p1, "none.example", "200 now")
	})
	t.Run("a listener that comes later", func(t *testing.T) {
		defer inTime(t, time.Now())
		hub.Publish(Batch{Set: put("base", listenerOf(t, "l2", p2, "81"), routes(t, "81", "1"), says(t, "81", "late.example", "l1"))})
		eventually(t, p2, "late.example", "200 l1")
		eventually(t, p2, "early.example", "200 e1")
	})
	t.Run("a listener that goes and comes back", func(t *testing.T) {
		defer inTime(t, time.Now())
		hub.Publish(Batch{Delete: []Removal{{"base", ListenerType, "l2"}}})
		waitFor(t, func() bool { return strings.Contains(fetch(p2, "late.example"), "refused") })
		hub.Publish(Batch{Set: put("base", listenerOf(t, "l2", p2, "81"))})
		eventually(t, p2, "late.example", "200 l1")
	})
	t.Run("a cluster and its route in one batch", func(t *testing.T) {
		defer inTime(t, time.Now())
		hub.Publish(Batch{Set: put("base", clusterOf(t, "up", "1", time.Second), endpointsOf(t, "up", "1", upPort), forwards(t, "80", "up.example", "1", "up"))})
		eventually(t, p1, "up.example", "200 upstream")
		hub.Publish(Batch{Set: put("base", clusterOf(t, "up", "2", 2*time.Second))})
		waitFor(t, func() bool { return idle(hub) })
		eventually(t, p1, "up.example", "200 upstream")
		if out := adminGet(admin, "/config_dump?resource=dynamic_warming_clusters"); strings.Contains(out, "up") {
			t.Errorf("the changed cluster still warms: %s", out)
		}
	})
	t.Run("a cluster whose endpoints do not exist", func(t *testing.T) {
		defer inTime(t, time.Now())
		hub.Publish(Batch{Set: put("base", clusterOf(t, "none", "1", time.Second), forwards(t, "80", "empty.example", "1", "none"))})
		eventually(t, p1, "empty.example", "503")
		waitFor(t, func() bool { return idle(hub) })
		hub.Publish(Batch{Set: put("base", endpointsOf(t, "none", "1", upPort))})
		eventually(t, p1, "empty.example", "200 upstream")
	})
	t.Run("moving a route between clusters loses nothing", func(t *testing.T) {
		var failed atomic.Int32
		stop := hammer(p1, "up.example", "200 upstream", &failed)
		for i := range 20 {
			from, to := fmt.Sprintf("move%d", i), fmt.Sprintf("move%d", i+1)
			b := Batch{Set: put("base", clusterOf(t, to, "1", time.Second), endpointsOf(t, to, "1", upPort), forwards(t, "80", "up.example", to, to))}
			if i > 0 {
				b.Delete = []Removal{{"base", ClusterType, from}, {"base", EndpointType, from}}
			}
			hub.Publish(b)
			time.Sleep(10 * time.Millisecond)
		}
		waitFor(t, func() bool { return idle(hub) })
		if n := stop(); n == 0 || failed.Load() > 0 {
			t.Errorf("%d of %d requests failed", failed.Load(), n)
		}
	})
	t.Run("bad resources harm no others", func(t *testing.T) {
		events.take()
		bad := clusterOf(t, "bad", "1", -time.Second)
		hub.Publish(Batch{Set: put("base", bad, clusterOf(t, "fine", "1", time.Second), endpointsOf(t, "fine", "1", upPort),
			says(t, "80", "dup.example", "dup", "a.example"), says(t, "80", "d.example", "d1"), says(t, "80", "a.example", "a3"),
			forwards(t, "80", "fine.example", "1", "fine"))})
		eventually(t, p1, "fine.example", "200 upstream")
		eventually(t, p1, "d.example", "200 d1")
		eventually(t, p1, "a.example", "200 a3")
		waitFor(t, func() bool { return idle(hub) })
		// Neither message names the resource: it was found by halving.
		if got, want := events.take(), []string{"rejected bad=1", "rejected 80/dup.example=dup"}; !slices.Equal(got, want) {
			t.Errorf("events %q, want %q", got, want)
		}
	})
	t.Run("a restarted server sends only what differs", func(t *testing.T) {
		var failed atomic.Int32
		stop := hammer(p1, "a.example", "200 a3", &failed)
		next, err := NewHub(opts)
		if err != nil {
			t.Fatal(err)
		}
		var all []Placement
		hub.mu.RLock()
		for _, sh := range hub.layers["base"].shelves {
			for _, e := range sh.entries {
				if v := e.serving(); v != nil {
					all = append(all, Placement{"base", v.res})
				}
			}
		}
		hub.mu.RUnlock()
		next.Publish(Batch{Set: all, Classes: classes})
		next.Publish(Batch{Set: put("base", says(t, "80", "d.example", "d2"))})
		hub.Close()
		g.Stop()
		listenAt(t, ads, next)
		eventually(t, p1, "d.example", "200 d2")
		eventually(t, p2, "late.example", "200 l1")
		waitFor(t, func() bool { return idle(next) })
		if n := stop(); n == 0 || failed.Load() > 0 {
			t.Errorf("%d of %d requests failed", failed.Load(), n)
		}
		if got := next.Stats(); got.Responses != 1 {
			t.Errorf("%d responses of %d bytes were sent to a proxy that needed one host", got.Responses, got.Bytes)
		}
	})
}

// idle tells whether the proxy has acknowledged everything.
func idle(h *Hub) bool { return h.Stats().Sessions > 0 && h.dump() == "" }

func adminGet(port int, path string) string {
	resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", port, path))
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return string(out)
}

// hammer requests a host until the returned function is called, which tells
// how many requests there were.
func hammer(port int, host, want string, failed *atomic.Int32) func() int {
	done := make(chan struct{})
	var wg sync.WaitGroup
	n := 0
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			n++
			if got := fetch(port, host); got != want {
				failed.Add(1)
			}
			time.Sleep(time.Millisecond)
		}
	})
	return func() int { close(done); wg.Wait(); return n }
}
