// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	state "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"
	setstate "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/set_filter_state/v3"
	tcpproxy "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshwright/meshwright/test/port"
)

// street is many addresses behind one listener, and a proxy that asks whose they are.
type street struct {
	t             *testing.T
	hub           *Hub
	port, direct  int
	admin, inside int // of what answers "inside"
}

const houses = 300

func (s *street) addr(i int) string { return fmt.Sprintf("127.0.%d.%d:%d", 1+i/250, 1+i%250, s.port) }

// house is the cluster of an address, whose endpoints are those of a host.
func (s *street) house(i int, version string) []*Resource {
	host := fmt.Sprintf("db-%d", i)
	r := resourceOf(s.t, s.addr(i), version, &cluster.Cluster{
		Name: s.addr(i), AltStatName: host, ConnectTimeout: durationpb.New(time.Second),
		ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_EDS},
		EdsClusterConfig:     &cluster.Cluster_EdsClusterConfig{EdsConfig: adsSource, ServiceName: host},
	})
	r.Key, r.Hidden, r.EDS = host, true, host
	return []*Resource{r, endpointsOf(s.t, host, version, s.inside)}
}

// capturing is a listener of all addresses that asks if the filter "addresses" says so.
func capturing(t *testing.T, port int, others string) *Resource {
	p := &tcpproxy.TcpProxy{
		StatPrefix: "all", ClusterSpecifier: &tcpproxy.TcpProxy_Cluster{Cluster: others},
		OnDemand: &tcpproxy.TcpProxy_OnDemand{OdcdsConfig: adsSource},
	}
	all := address(port)
	all.GetSocketAddress().Address = "0.0.0.0"
	return resourceOf(t, "all", "1", &listener.Listener{
		Name: "all", Address: all,
		FilterChains: []*listener.FilterChain{{
			Name:             "addresses",
			FilterChainMatch: &listener.FilterChainMatch{PrefixRanges: []*core.CidrRange{{AddressPrefix: "127.0.0.0", PrefixLen: wrapperspb.UInt32(16)}}},
			Filters: []*listener.Filter{
				{Name: "addresses", ConfigType: &listener.Filter_ConfigDiscovery{ConfigDiscovery: &core.ExtensionConfigSource{
					ConfigSource: adsSource, TypeUrls: []string{"type.googleapis.com/envoy.extensions.filters.network.set_filter_state.v3.Config"},
				}}},
				{Name: "tcp", ConfigType: &listener.Filter_TypedConfig{TypedConfig: pack(t, p)}},
			},
		}},
	})
}

func addressFilter(t *testing.T, version string, asks bool) *Resource {
	c := &setstate.Config{}
	if asks {
		c.OnNewConnection = []*state.FilterStateValue{{
			Key: &state.FilterStateValue_ObjectKey{ObjectKey: "envoy.tcp_proxy.cluster"},
			Value: &state.FilterStateValue_FormatString{FormatString: &core.SubstitutionFormatString{
				Format: &core.SubstitutionFormatString_TextFormatSource{TextFormatSource: &core.DataSource{
					Specifier: &core.DataSource_InlineString{InlineString: "%DOWNSTREAM_LOCAL_ADDRESS%"},
				}},
			}},
		}}
	}
	return resourceOf(t, "addresses", version, &core.TypedExtensionConfig{Name: "addresses", TypedConfig: pack(t, c)})
}

func staticCluster(t *testing.T, name string, port int) *Resource {
	var load endpoint.ClusterLoadAssignment
	if err := proto.Unmarshal(endpointsOf(t, name, "1", port).Body, &load); err != nil {
		t.Fatal(err)
	}
	return resourceOf(t, name, "1", &cluster.Cluster{
		Name: name, ConnectTimeout: durationpb.New(time.Second), LoadAssignment: &load,
		ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_STATIC},
	})
}

// unknownAddressOf is what mesh does: the cluster for all others, for one address.
func unknownAddressOf(rest *Resource, name string) (*Resource, error) {
	var c cluster.Cluster
	if err := proto.Unmarshal(rest.Body, &c); err != nil {
		return nil, err
	}
	c.Name = name
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(&c)
	return &Resource{Type: ClusterType, Name: name, Version: "unknown", Body: body}, err
}

func answering(t *testing.T, text string) int {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }))
	t.Cleanup(s.Close)
	return s.Listener.Addr().(*net.TCPAddr).Port
}

// TestEnvoyAsksForAddresses: a proxy without a listener or cluster of any of 300
// addresses carries connections to all of them.
func TestEnvoyAsksForAddresses(t *testing.T) {
	s := &street{t: t, port: int(port.Free(t)), direct: int(port.Free(t)), admin: int(port.Free(t)), inside: answering(t, "inside")}
	hub, err := NewHub(Options{Unknown: unknownAddressOf, Classify: func(n *core.Node, _ Peer) (string, error) { return n.GetCluster(), nil }})
	if err != nil {
		t.Fatal(err)
	}
	s.hub = hub
	outside := answering(t, "outside")
	rest := staticCluster(t, "unknown", outside)
	rest.Key, rest.Hidden = Rest, true
	same := clusterOf(t, "db-1", "1", time.Second) // has the endpoints of an address, too
	same.Key = "db-1"
	all := []*Resource{
		rest, same, staticCluster(t, "outside", outside), addressFilter(t, "silent", false),
		capturing(t, s.port, "outside"), carrying(t, "direct", s.direct, "db-1"),
	}
	for i := range houses {
		all = append(all, s.house(i, "1")...)
	}
	hub.Publish(Batch{Set: append(put("base", all...), put("asking", addressFilter(t, "asks", true))...), Classes: []Class{{
		Key: "a", Layers: []Layer{"base"}, Scope: &Scope{Asks: true, Over: "asking"},
	}}})
	ads := int(port.Free(t))
	server := listenAt(t, ads, hub)
	runEnvoy(t, ads, s.admin)

	s.eventually(0, "inside")
	eventually(t, s.direct, "any", "200 inside")
	s.eventually(1, "inside") // by another cluster with the same endpoints
	s.measure()
	s.comesAndGoes()
	s.survivesScopes()
	waitFor(t, func() bool { return idle(hub) })
	hub.Close()
	server.Stop()
	s.expect(7, "inside") // nobody is there to ask
}

// get is what answers at an address.
func (s *street) get(addr string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	return again(conn)
}

// again sends a request on a connection.
func again(conn net.Conn) string {
	_ = conn.SetDeadline(time.Now().Add(8 * time.Second))
	req, err := http.NewRequest(http.MethodGet, "http://any/", http.NoBody)
	if err != nil {
		return err.Error()
	}
	if err := req.Write(conn); err != nil {
		return err.Error()
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body := make([]byte, 16)
	n, _ := resp.Body.Read(body)
	return string(body[:n])
}

func (s *street) expect(i int, want string) {
	s.t.Helper()
	if got := s.get(s.addr(i)); got != want {
		s.t.Errorf("address %d answers %q, want %q", i, got, want)
	}
}

func (s *street) eventually(i int, want string) {
	s.t.Helper()
	var got string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if got = s.get(s.addr(i)); got == want {
			return
		}
	}
	s.t.Fatalf("address %d answers %q, want %q", i, got, want)
}

func (s *street) measure() {
	var first, second []time.Duration
	for i := 2; i < houses-5; i++ {
		for _, took := range []*[]time.Duration{&first, &second} {
			start := time.Now()
			s.expect(i, "inside")
			*took = append(*took, time.Since(start))
		}
	}
	for name, took := range map[string][]time.Duration{"first": first, "second": second} {
		slices.Sort(took)
		n := len(took)
		s.t.Logf("%s connection to an address: p50 %v p90 %v p99 %v max %v", name, took[n/2], took[n*9/10], took[n*99/100], took[n-1])
	}
	if text := adminGet(s.admin, "/stats?filter=cluster.db-7.upstream_cx_total"); !strings.Contains(text, "cluster.db-7.upstream_cx_total: 2") {
		s.t.Errorf("connections are not counted under the name of the host: %q", text)
	}
}

// comesAndGoes is the life of an address that is called before somebody has it.
func (s *street) comesAndGoes() {
	const late = houses + 1
	s.expect(late, "outside")
	waitFor(s.t, func() bool { return idle(s.hub) })
	before := s.hub.Stats().Bytes
	s.hub.Publish(Batch{Set: put("base", s.house(houses+2, "1")...)})
	s.hub.Publish(Batch{Set: put("base", s.house(houses-1, "2")...)})
	s.expect(3, "inside")
	if sent := s.hub.Stats().Bytes - before; sent != 0 {
		s.t.Errorf("%d bytes were sent while addresses changed that nobody calls", sent)
	}
	s.hub.Publish(Batch{Set: put("base", s.house(late, "1")...)})
	s.eventually(late, "inside")
	s.hub.Publish(Batch{Delete: []Removal{{"base", ClusterType, s.addr(late)}}})
	s.eventually(late, "outside")
}

// survivesScopes: a connection stays while its proxy is told everything, and asks
// again later.
func (s *street) survivesScopes() {
	conn, err := net.Dial("tcp", s.addr(5))
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	for _, step := range []struct {
		scope *Scope
		next  int // an address that was not called before
		want  string
	}{{nil, houses - 2, "outside"}, {&Scope{Asks: true, Over: "asking"}, houses - 3, "inside"}} {
		if got := again(conn); got != "inside" {
			s.t.Errorf("the connection answers %q", got)
		}
		s.hub.Publish(Batch{Classes: []Class{{Key: "a", Layers: []Layer{"base"}, Scope: step.scope}}})
		s.eventually(step.next, step.want)
		if got := again(conn); got != "inside" {
			s.t.Errorf("with the scope %v the connection answers %q", step.scope, got)
		}
	}
}
