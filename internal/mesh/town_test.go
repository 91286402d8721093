// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/intake"
	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/xds"
)

func settings() *ir.Mesh {
	return &ir.Mesh{
		TrustDomain: "cluster.local", RootNamespace: "istio-system", ClusterDomain: "cluster.local", ClusterID: "east", Detection: ir.DefaultDetection,
		Ingress: ir.IngressSettings{Mode: ir.IngressAll, Class: "istio", Service: ir.ConfigKey{Namespace: "shop", Name: "s0"}},
	}
}

// town is a mesh of services, each with an HTTP port, a TCP port and two pods.
func town(services int) intake.Batch {
	b := intake.Batch{
		Services: map[ir.ObjectKey]*ir.Service{},
		Slices:   map[ir.ObjectKey]*ir.EndpointSlice{},
		Pods:     map[ir.ObjectKey]*ir.Pod{},
		Nodes: map[ir.NodeKey]*ir.Node{
			{Cluster: "east", Name: "n1"}: {Key: ir.NodeKey{Cluster: "east", Name: "n1"}, Locality: ir.Locality{Zone: "a"}},
		},
	}
	for i := range services {
		addService(&b, i, 2)
	}
	return b
}

func addService(b *intake.Batch, i, pods int) {
	name := fmt.Sprintf("svc-%d", i)
	key := ir.ObjectKey{Cluster: "east", Namespace: "apps", Name: name}
	b.Services[key] = &ir.Service{
		Key: key, Host: name + ".apps.svc.cluster.local",
		VIPs:     []netip.Addr{netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)})},
		Selector: ir.Labels{{Key: "app", Value: name}},
		Ports: []ir.ServicePort{
			{Name: "http", Port: 8080, Protocol: ir.ProtocolHTTP},
			{Name: "tcp", Port: 9000, Protocol: ir.ProtocolTCP},
		},
	}
	b.Slices[slice(i)] = sliceOf(i, pods)
	for p := range pods {
		k := ir.ObjectKey{Cluster: "east", Namespace: "apps", Name: fmt.Sprintf("%s-%d", name, p)}
		b.Pods[k] = &ir.Pod{Key: k, Labels: ir.Labels{{Key: "app", Value: name}}, ServiceAccount: name, Node: "n1", Meshed: true}
	}
}

func slice(i int) ir.ObjectKey {
	return ir.ObjectKey{Cluster: "east", Namespace: "apps", Name: fmt.Sprintf("svc-%d-abc", i)}
}

func sliceOf(i, pods int) *ir.EndpointSlice {
	s := &ir.EndpointSlice{
		Key:     slice(i),
		Service: ir.ObjectKey{Cluster: "east", Namespace: "apps", Name: fmt.Sprintf("svc-%d", i)},
		Ports:   []ir.SlicePort{{Name: "http", Port: 80}, {Name: "tcp", Port: 9000}},
	}
	for p := range pods {
		s.Endpoints = append(s.Endpoints, ir.SliceEndpoint{
			Addr: netip.AddrFrom4([4]byte{10, byte(p + 1), byte(i >> 8), byte(i)}),
			Pod:  fmt.Sprintf("svc-%d-%d", i, p), Node: "n1", Ready: true,
		})
	}
	return s
}

func host(i int) string { return fmt.Sprintf("svc-%d.apps.svc.cluster.local", i) }

func sidecar(app string) (string, *ir.Class) {
	c := &ir.Class{
		Role: ir.RoleSidecar, Namespace: "apps", Workload: app, ServiceAccount: app,
		Labels: ir.Labels{{Key: "app", Value: app}},
	}
	return classKey(c), c
}

func start(t testing.TB, services int, options ...graph.Option) *Engine {
	t.Helper()
	e := NewEngine(0, options...)
	e.SetMesh(settings())
	key, class := sidecar("svc-0")
	out := e.Step(town(services), map[string]*ir.Class{key: class})
	for _, r := range out.Other {
		t.Fatalf("a report about no object: %+v", r)
	}
	return e
}

// sent is LAYER TYPE NAME of everything that a batch sets or removes, sorted.
func sent(b xds.Batch) []string {
	var out []string
	for _, p := range b.Set {
		out = append(out, fmt.Sprintf("set %s %s %s", p.Layer, shortType(p.Resource.Type), p.Resource.Name))
	}
	for _, r := range b.Delete {
		out = append(out, fmt.Sprintf("remove %s %s %s", r.Layer, shortType(r.Type), r.Name))
	}
	slices.Sort(out)
	return out
}
