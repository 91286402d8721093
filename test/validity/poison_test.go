//go:build integration

// SPDX-License-Identifier: Apache-2.0

package validity

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshwright/meshwright/hack/envoy"
	"github.com/meshwright/meshwright/internal/resource"
	"github.com/meshwright/meshwright/test/poison"
)

// TestEnvoyLoadsWhatPoisonMakes has Envoy check, in one configuration, all that differs
// from the healthy mesh for each object of the corpus.
func TestEnvoyLoadsWhatPoisonMakes(t *testing.T) {
	cases, _, err := poison.Corpus("../poison/testdata")
	if err != nil {
		t.Fatal(err)
	}
	b := bootstrap()
	// As the agent's bootstrap has it; without it Envoy takes only tiny expressions.
	b.LayeredRuntime = &bootstrapv3.LayeredRuntime{Layers: []*bootstrapv3.RuntimeLayer{{
		Name: "agent", LayerSpecifier: &bootstrapv3.RuntimeLayer_StaticLayer{StaticLayer: &structpb.Struct{Fields: map[string]*structpb.Value{
			"re2.max_program_size.error_level": structpb.NewNumberValue(32768),
		}}},
	}}}
	routes := map[string]*routev3.RouteConfiguration{}
	port, made := uint32(30000), 0
	for i, c := range cases {
		w, err := poison.Town()
		if err != nil {
			t.Fatal(err)
		}
		before := map[string]bool{}
		for _, r := range w.Resources() {
			before[r.Version+r.Name] = true
		}
		if err := w.Apply(c.Manifest); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Step(); err != nil {
			t.Fatal(err)
		}
		for j, r := range w.Resources() {
			if before[r.Version+r.Name] {
				continue
			}
			made++
			// The name leads from Envoy's complaint to the case.
			name := fmt.Sprintf("%s-%d-%d", strings.ReplaceAll(c.Name, " ", "-"), i, j)
			switch r.Type {
			case resource.TypeCluster:
				cluster := parse(t, r.Body, &clusterv3.Cluster{})
				cluster.Name = name
				b.StaticResources.Clusters = append(b.StaticResources.Clusters, cluster)
			case resource.TypeListener:
				if c.Name == "Gateway/a thousand servers" && j%100 != 0 {
					continue // they are alike
				}
				port++
				listener := parse(t, r.Body, &listenerv3.Listener{})
				listener.Name = name
				listener.Address = &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
					Address: "127.0.0.1", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port},
				}}}
				b.StaticResources.Listeners = append(b.StaticResources.Listeners, listener)
			case resource.TypeVirtualHost:
				host := parse(t, r.Body, &routev3.VirtualHost{})
				host.Name = name
				routes[name] = &routev3.RouteConfiguration{
					Name: name, ValidateClusters: wrapperspb.Bool(false), VirtualHosts: []*routev3.VirtualHost{host},
				}
			}
		}
	}
	if made < 50 {
		t.Errorf("the corpus makes only %d resources", made)
	}
	b.StaticResources.Listeners = append(b.StaticResources.Listeners, inlined(t, routes, nil)...)
	if text, err := load(t, envoy.Current, b); err != nil {
		t.Errorf("envoy refuses it: %v\n%.4000s\nof %q", err, text, slices.Sorted(maps.Keys(routes)))
	}
}
