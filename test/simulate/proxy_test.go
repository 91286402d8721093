// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/protobuf/proto"

	"github.com/meshwright/meshwright/internal/envoy/filter"
	"github.com/meshwright/meshwright/internal/envoy/tls"
	"github.com/meshwright/meshwright/internal/envoy/typed"
	"github.com/meshwright/meshwright/internal/ir"
)

func packed(t *testing.T, typ, name string, m proto.Message) Resource {
	t.Helper()
	body, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return Resource{Type: typ, Name: name, Body: body}
}

func TestNewRefusesWhatEnvoyRefuses(t *testing.T) {
	vhds := packed(t, resource.RouteType, "80", &routev3.RouteConfiguration{Vhds: &routev3.Vhds{}})
	host := func(name string, domains ...string) Resource {
		return packed(t, resource.VirtualHostType, name, &routev3.VirtualHost{Name: name, Domains: domains})
	}
	for name, c := range map[string]struct {
		resources []Resource
		want      string
	}{
		"a domain twice":         {[]Resource{vhds, host("80/a", "x"), host("80/b", "x")}, "both have the domain x"},
		"no host":                {[]Resource{vhds}, "its listener would wait"},
		"a name without a slash": {[]Resource{vhds, host("a", "x")}, "ROUTECONFIG/HOST"},
		"hosts that are never asked for": {
			[]Resource{packed(t, resource.RouteType, "80", &routev3.RouteConfiguration{}), host("80/a", "x")}, "never asks for",
		},
		"not the message": {[]Resource{{Type: resource.ClusterType, Name: "c", Body: []byte{0xff}}}, "c: "},
		"all is well":     {[]Resource{vhds, host("80/a", "x"), host("80/b", "y")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(c.resources)
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want an error about %q", err, c.want)
			}
		})
	}
}

// TestChains chooses by the server name, the most specific first, and by transport.
func TestChains(t *testing.T) {
	chain := func(cluster, transport string, names ...string) *listenerv3.FilterChain {
		return &listenerv3.FilterChain{
			FilterChainMatch: &listenerv3.FilterChainMatch{ServerNames: names, TransportProtocol: transport},
			Filters:          []*listenerv3.Filter{filter.TCP(cluster, "")},
		}
	}
	static := func(name string) Resource {
		return packed(t, resource.ClusterType, name, &clusterv3.Cluster{Name: name})
	}
	eds := &clusterv3.Cluster{ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS}}
	p, err := New([]Resource{
		packed(t, resource.ListenerType, "l", &listenerv3.Listener{
			Address: typed.Address("0.0.0.0", 8443),
			FilterChains: []*listenerv3.FilterChain{
				chain("any", "tls"), chain("wild", "tls", "*.example.com"), chain("exact", "tls", "a.example.com"),
				chain("narrow", "tls", "*.b.example.com"), chain("plain", "raw_buffer"),
			},
		}),
		static("any"), static("wild"), static("exact"), static("plain"),
		packed(t, resource.ClusterType, "narrow", eds),
		packed(t, resource.EndpointType, "narrow", &endpointv3.ClusterLoadAssignment{}),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		host, want string
		tls        bool
		port       uint16
	}{
		{"a.example.com", "exact", true, 8443},
		{"A.example.com", "exact", true, 8443},
		{"c.example.com", "wild", true, 8443},
		{"x.b.example.com", "503: no endpoints of narrow", true, 8443},
		{"example.com", "any", true, 8443},
		{"a.example.com", "plain", false, 8443},
		{"a.example.com", "refused: nothing listens", true, 443},
	} {
		call := Call{Addr: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), c.port), TLS: c.tls, Host: c.host}
		if got := p.Answer(call); got != c.want {
			t.Errorf("%s (TLS %t) at port %d: got %s, want %s", c.host, c.tls, c.port, got, c.want)
		}
	}
}

func TestDangling(t *testing.T) {
	eds := &clusterv3.Cluster{ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS}}
	p, err := New([]Resource{
		packed(t, resource.ClusterType, "c", eds),
		packed(t, resource.ListenerType, "l", &listenerv3.Listener{
			Name: "l", Address: typed.Address("0.0.0.0", 80),
			FilterChains: []*listenerv3.FilterChain{{
				Filters:         []*listenerv3.Filter{filter.HTTP{StatPrefix: "h", RouteConfig: "routes"}.Build()},
				TransportSocket: tls.Gateway(&ir.ChainTLS{Certificates: []ir.SecretKey{{Kind: ir.SecretCertificate, Credential: "shop"}}}, nil),
			}},
			DefaultFilterChain: &listenerv3.FilterChain{Filters: []*listenerv3.Filter{filter.TCP("bytes", "")}},
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"cluster c has no endpoints", "listener l: no cluster bytes",
		"listener l: no route configuration routes", "listener l: no secret kubernetes://shop",
	}
	if got := p.Dangling(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
