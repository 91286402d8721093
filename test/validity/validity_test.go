//go:build integration

// SPDX-License-Identifier: Apache-2.0

// Package validity loads what the control plane builds into the real Envoy.
package validity

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/meshwright/meshwright/hack/envoy"
	"github.com/meshwright/meshwright/internal/envoy/filter"
	"github.com/meshwright/meshwright/internal/intake"
	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/mesh"
	"github.com/meshwright/meshwright/internal/resource"
)

// TestEnvoyLoadsEverything builds a mesh that uses every builder and every kind
// of row, and has Envoy check the whole of it.
func TestEnvoyLoadsEverything(t *testing.T) {
	e := mesh.NewEngine(0)
	e.SetMesh(&ir.Mesh{
		TrustDomain: "cluster.local", RootNamespace: "istio-system", ClusterDomain: "cluster.local",
		AccessLogFile: "/dev/stdout",
	})
	out := e.Step(everything(), map[string]*ir.Class{"sidecar": sidecarClass(), "router": routerClass()})
	for object, problems := range out.Problems {
		for _, p := range problems {
			if p.Severity == ir.Error {
				t.Errorf("%s: %v", object, p)
			}
		}
	}
	loaded := map[string]int{}
	for _, layers := range [][]string{
		{"sidecar", "mesh", "namespace/apps", "class/sidecar"},
		{"router", "class/router"},
	} {
		b := bootstrap()
		routes := map[string]*routev3.RouteConfiguration{}
		var hosts []*routev3.VirtualHost
		seen := map[string]bool{}
		for i := len(layers) - 1; i >= 0; i-- { // a higher layer hides a lower one
			for _, p := range out.Publish.Set {
				if string(p.Layer) != layers[i] || seen[p.Resource.Type+p.Resource.Name] {
					continue
				}
				seen[p.Resource.Type+p.Resource.Name] = true
				loaded[p.Resource.Type]++
				switch p.Resource.Type {
				case resource.TypeCluster:
					b.StaticResources.Clusters = append(b.StaticResources.Clusters, parse(t, p.Resource.Body, &clusterv3.Cluster{}))
				case resource.TypeListener:
					b.StaticResources.Listeners = append(b.StaticResources.Listeners, parse(t, p.Resource.Body, &listenerv3.Listener{}))
				case resource.TypeRouteConfig:
					routes[p.Resource.Name] = parse(t, p.Resource.Body, &routev3.RouteConfiguration{})
				case resource.TypeVirtualHost:
					hosts = append(hosts, parse(t, p.Resource.Body, &routev3.VirtualHost{}))
				}
			}
		}
		b.StaticResources.Listeners = append(b.StaticResources.Listeners, inlined(t, routes, hosts)...)
		validate(t, b)
	}
	for _, typ := range []string{
		resource.TypeCluster, resource.TypeEndpoints, resource.TypeListener,
		resource.TypeRouteConfig, resource.TypeVirtualHost, resource.TypeSecret,
	} {
		if loaded[typ] == 0 {
			t.Errorf("nothing of type %s was built", typ)
		}
	}
}

// inlined puts each route configuration, with its hosts, into a listener of its
// own, because Envoy checks routes only where they are used.
func inlined(t *testing.T, routes map[string]*routev3.RouteConfiguration, hosts []*routev3.VirtualHost) []*listenerv3.Listener {
	for _, h := range hosts {
		k, ok := ir.ParseVirtualHostName(h.Name)
		if !ok || routes[k.RouteConfig] == nil {
			t.Fatalf("virtual host %s belongs to no route configuration", h.Name)
		}
		rc := routes[k.RouteConfig]
		rc.Vhds = nil
		rc.VirtualHosts = append(rc.VirtualHosts, h)
	}
	var out []*listenerv3.Listener
	port := uint32(20000)
	for name, rc := range routes {
		port++
		rc.Vhds = nil
		out = append(out, &listenerv3.Listener{
			Name: "check-" + name,
			Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
				Address: "127.0.0.1", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port},
			}}},
			FilterChains: []*listenerv3.FilterChain{{
				Filters: []*listenerv3.Filter{filter.HTTP{StatPrefix: name, Routes: rc}.Build()},
			}},
		})
	}
	return out
}

// validate wants a configuration to be accepted, also by proxies that were not upgraded yet.
func validate(t *testing.T, b *bootstrapv3.Bootstrap) {
	t.Helper()
	for _, release := range []envoy.Release{envoy.Current, envoy.Previous} {
		if text, err := load(t, release, b); err != nil {
			t.Errorf("envoy %s refuses it: %v\n%s", release.Version, err, text)
		}
	}
}

// load has Envoy check a configuration, and returns what it says.
func load(t *testing.T, release envoy.Release, b *bootstrapv3.Bootstrap) ([]byte, error) {
	t.Helper()
	binary, err := release.Path("")
	if err != nil {
		t.Fatal(err)
	}
	body, err := protojson.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "envoy.json")
	if err := os.WriteFile(file, body, 0o600); err != nil {
		t.Fatal(err)
	}
	return exec.Command(binary, "--mode", "validate", "-c", file, "-l", "error").CombinedOutput()
}

func parse[M proto.Message](t *testing.T, body []byte, m M) M {
	t.Helper()
	if err := proto.Unmarshal(body, m); err != nil {
		t.Fatal(err)
	}
	return m
}

// bootstrap has the clusters that the agent's bootstrap gives every proxy.
func bootstrap() *bootstrapv3.Bootstrap {
	local := func(name string) *clusterv3.Cluster {
		return &clusterv3.Cluster{
			Name:                 name,
			ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
			LoadAssignment:       &endpointv3.ClusterLoadAssignment{ClusterName: name},
		}
	}
	return &bootstrapv3.Bootstrap{
		Node: &corev3.Node{Id: "check", Cluster: "check"},
		DynamicResources: &bootstrapv3.Bootstrap_DynamicResources{AdsConfig: &corev3.ApiConfigSource{
			ApiType: corev3.ApiConfigSource_DELTA_GRPC, TransportApiVersion: corev3.ApiVersion_V3,
			GrpcServices: []*corev3.GrpcService{{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
				EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: "xds-grpc"},
			}}},
		}},
		StaticResources: &bootstrapv3.Bootstrap_StaticResources{
			Clusters: []*clusterv3.Cluster{local("xds-grpc"), local("sds-grpc")},
		},
	}
}

func sidecarClass() *ir.Class {
	return &ir.Class{Role: ir.RoleSidecar, Namespace: "apps", Labels: ir.Labels{{Key: "app", Value: "a"}}}
}

func routerClass() *ir.Class {
	return &ir.Class{Role: ir.RoleRouter, Namespace: "apps", Labels: ir.Labels{{Key: "istio", Value: "ingressgateway"}}}
}

func everything() intake.Batch {
	return intake.Batch{
		Services:            services(),
		Slices:              endpointSlices(),
		Routes:              map[ir.ConfigKey]*ir.Routes{{Namespace: "apps", Name: "r"}: routes()},
		Policies:            policies(),
		Gateways:            map[ir.ConfigKey]*ir.Gateway{{Namespace: "apps", Name: "g"}: gateway()},
		PeerAuthentications: peerAuthentications(),
		Credentials: map[ir.ConfigKey]*ir.Credential{
			{Namespace: "apps", Name: "cert"}: {
				Key: ir.ConfigKey{Namespace: "apps", Name: "cert"}, Certificate: []byte("c"), PrivateKey: []byte("k"), CA: []byte("ca"),
			},
		},
	}
}

func address(last byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, last}) }
