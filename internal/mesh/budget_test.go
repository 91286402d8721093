// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/intake"
	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/resource"
)

// budget is what one change may cost: evaluations per table and what is sent.
type budget struct {
	name      string
	before    intake.Batch
	change    intake.Batch
	classes   func() map[string]*ir.Class
	evaluated map[string]int
	sent      []string
}

func routes(weight uint32) *ir.Routes {
	origin := ir.Origin{Kind: "VirtualService", Namespace: "apps", Name: "r"}
	return &ir.Routes{
		Origin: origin, Hosts: []string{host(1)}, Mesh: true, ExportTo: ir.Visibility{All: true},
		HTTP: []ir.Rule{{Origin: origin, Destinations: []ir.Destination{
			{Host: host(1), Subset: "v1", Weight: weight}, {Host: host(1), Subset: "v2", Weight: 100 - weight},
		}}},
	}
}

var delegate = ir.ConfigKey{Namespace: "apps", Name: "t"}

func delegating() *ir.Routes {
	out := routes(0)
	out.HTTP = []ir.Rule{{Origin: out.Origin, Delegate: &delegate}}
	return out
}

func delegated(weight uint32) *ir.Routes {
	out := routes(weight)
	out.Origin.Name, out.Hosts, out.Mesh = delegate.Name, nil, false
	return out
}

// forClients has a rule that only the proxies with some labels hold.
func forClients(weight uint32) *ir.Routes {
	out := routes(weight)
	only := out.HTTP[0]
	only.Matches = []ir.Match{{Place: ir.Place{Labels: ir.Labels{{Key: "app", Value: "svc-0"}}}}}
	out.HTTP = []ir.Rule{only, {Origin: out.Origin, Destinations: []ir.Destination{{Host: host(1), Weight: 100}}}}
	return out
}

func streamRoutes(weight uint32) *ir.Routes {
	out := routes(weight)
	out.TCP = []ir.StreamRule{{Origin: out.Origin, Destinations: out.HTTP[0].Destinations}}
	out.HTTP = nil
	return out
}

func policy(lb ir.Balance) *ir.TrafficPolicy {
	return &ir.TrafficPolicy{
		Origin: ir.Origin{Kind: "DestinationRule", Namespace: "apps", Name: "p"},
		Host:   host(1), ExportTo: ir.Visibility{All: true},
		Settings: ir.PolicySettings{LoadBalancer: ir.LoadBalancer{Balance: lb}},
	}
}

func podsOf(s *ir.Service, pods int) *ir.EndpointSlice {
	out := &ir.EndpointSlice{Key: s.Key, Service: s.Key, Ports: []ir.SlicePort{{Name: "tcp", Port: 7000}}}
	for p := range pods {
		out.Endpoints = append(out.Endpoints, ir.SliceEndpoint{Addr: netip.AddrFrom4([4]byte{10, 200, 0, byte(p)}), Ready: true})
	}
	return out
}

func budgets() []budget {
	headless := &ir.Service{
		Key: ir.ObjectKey{Cluster: "east", Namespace: "apps", Name: "headless"}, Host: "headless.apps.svc.cluster.local",
		Headless: true, Ports: []ir.ServicePort{{Name: "tcp", Port: 7000, Target: 7000, Protocol: ir.ProtocolTCP}},
	}
	plain := &ir.Service{
		Key: ir.ObjectKey{Cluster: "east", Namespace: "apps", Name: "plain"}, Host: "plain.apps.svc.cluster.local",
		VIPs: []netip.Addr{netip.AddrFrom4([4]byte{10, 96, 250, 1})}, Ports: []ir.ServicePort{{Name: "tcp", Port: 5432, Protocol: ir.ProtocolTCP}},
	}
	object := ir.ConfigKey{Namespace: "apps", Name: "r"}
	rule := ir.ConfigKey{Namespace: "apps", Name: "p"}
	first, class := sidecar("svc-0")
	strict := &ir.PeerAuthentication{
		Origin:   ir.Origin{Kind: "PeerAuthentication", Namespace: "apps", Name: "s"},
		Selector: ir.Labels{{Key: "app", Value: "svc-0"}}, Mode: ir.MTLSStrict,
	}
	second := *class
	second.Workload, second.Labels = "svc-2", ir.Labels{{Key: "app", Value: "svc-2"}}
	return []budget{{
		name:      "a pod is gone from one EndpointSlice",
		change:    intake.Batch{Slices: map[ir.ObjectKey]*ir.EndpointSlice{slice(1): sliceOf(1, 1)}},
		evaluated: map[string]int{"backends": 1, "endpointSets": 1, "identities": 1, "targetPorts": 1, "resource.endpoints": 2},
		sent: []string{
			"set mesh ClusterLoadAssignment outbound|8080||" + host(1),
			"set mesh ClusterLoadAssignment outbound|9000||" + host(1),
		},
	}, {
		name: "a pod is gone from a headless host",
		before: intake.Batch{
			Services: map[ir.ObjectKey]*ir.Service{headless.Key: headless},
			Slices:   map[ir.ObjectKey]*ir.EndpointSlice{headless.Key: podsOf(headless, 2)},
		},
		change: intake.Batch{Slices: map[ir.ObjectKey]*ir.EndpointSlice{headless.Key: podsOf(headless, 1)}},
		evaluated: map[string]int{
			"backends": 1, "endpointSets": 1, "identities": 1, "targetPorts": 1, "podHosts": 1, "podPorts": 1, "names": 1,
			"resource.endpoints": 1, "resource.podTables": 1, "resource.names": 1,
		},
		sent: []string{
			"set mesh ClusterLoadAssignment outbound|7000||" + headless.Host,
			"set mesh DnsVirtualDomain " + headless.Host,
			"set mesh TypedExtensionConfig pods|7000",
		},
	}, {
		// Nobody is sent the address's cluster who does not ask for it, nor its listener.
		name:   "a new Service in a known range of addresses",
		change: intake.Batch{Services: map[ir.ObjectKey]*ir.Service{plain.Key: plain}},
		evaluated: map[string]int{
			"serviceHosts": 1, "hosts": 1, "homes": 1, "choices": 1, "subsets": 1, "targets": 1, "nearness": 1, "hashes": 1, "virtualHosts": 1,
			"portUses": 1, "podHosts": 1, "streams": 1, "portStreams": 1, "tcpListeners": 1, "addressOwners": 1, "names": 1, "autoTargets": 1,
			"resource.clusters": 1, "resource.addressClusters": 1, "resource.endpoints": 1, "resource.tcpListeners": 1, "resource.names": 1,
		},
		sent: []string{
			"set mesh Cluster 10.96.250.1:5432",
			"set mesh Cluster outbound|5432||" + plain.Host,
			"set mesh ClusterLoadAssignment outbound|5432||" + plain.Host,
			"set mesh DnsVirtualDomain " + plain.Host,
			"set mesh Listener 10.96.250.1_5432",
		},
	}, {
		name:      "an EndpointSlice is written again as it was",
		change:    intake.Batch{Slices: map[ir.ObjectKey]*ir.EndpointSlice{slice(1): sliceOf(1, 2)}},
		evaluated: map[string]int{},
	}, {
		name:   "a weight of a VirtualService",
		before: intake.Batch{Routes: map[ir.ConfigKey]*ir.Routes{object: routes(90)}},
		change: intake.Batch{Routes: map[ir.ConfigKey]*ir.Routes{object: routes(50)}},
		evaluated: map[string]int{
			"routesMerged": 1, "routesWeighed": 1, "routesSettled": 1, "virtualHosts": 1, "routeReferences": 1, "resource.virtualHosts": 2,
		},
		sent: []string{
			"set mesh VirtualHost 8080/" + host(1),
			"set namespace/apps VirtualHost 8080/" + host(1),
		},
	}, {
		name:   "a weight of a VirtualService that another one delegates to",
		before: intake.Batch{Routes: map[ir.ConfigKey]*ir.Routes{object: delegating(), delegate: delegated(90)}},
		change: intake.Batch{Routes: map[ir.ConfigKey]*ir.Routes{delegate: delegated(50)}},
		evaluated: map[string]int{
			"routesMerged": 2, "routesWeighed": 1, "routesSettled": 1, "virtualHosts": 1, "routeReferences": 1, "resource.virtualHosts": 2,
		},
		sent: []string{
			"set mesh VirtualHost 8080/" + host(1),
			"set namespace/apps VirtualHost 8080/" + host(1),
		},
	}, {
		name:      "a weight of a rule for some clients only",
		before:    intake.Batch{Routes: map[ir.ConfigKey]*ir.Routes{object: forClients(90)}},
		change:    intake.Batch{Routes: map[ir.ConfigKey]*ir.Routes{object: forClients(50)}},
		evaluated: map[string]int{"virtualHosts": 1, "routeReferences": 1, "routesMerged": 1, "routesWeighed": 1, "routesSettled": 1, "resource.virtualHosts": 1},
		sent:      []string{"set class/" + first + " VirtualHost 8080/" + host(1)},
	}, {
		name:      "a weight of a rule for TCP",
		before:    intake.Batch{Routes: map[ir.ConfigKey]*ir.Routes{object: streamRoutes(90)}},
		change:    intake.Batch{Routes: map[ir.ConfigKey]*ir.Routes{object: streamRoutes(50)}},
		evaluated: map[string]int{"tcpListeners": 1, "addressOwners": 1, "routeReferences": 1, "routesMerged": 1, "routesWeighed": 1, "routesSettled": 1, "resource.tcpListeners": 1},
		sent:      []string{"set mesh Listener 10.96.0.1_9000"},
	}, {
		name:   "the load balancer of a DestinationRule",
		before: intake.Batch{Policies: map[ir.ConfigKey]*ir.TrafficPolicy{rule: policy(ir.BalanceRandom)}},
		change: intake.Batch{Policies: map[ir.ConfigKey]*ir.TrafficPolicy{rule: policy(ir.BalanceRoundRobin)}},
		evaluated: map[string]int{
			"policyHosts": 1, "subsets": 1, "streams": 1, "targets": 1, "nearness": 2, "hashes": 2, "policyReferences": 1, "resource.clusters": 2,
			"resource.addressClusters": 1,
		},
		sent: []string{"set mesh Cluster 10.96.0.1:9000", "set mesh Cluster outbound|8080||" + host(1), "set mesh Cluster outbound|9000||" + host(1)},
	}, {
		name:   "a PeerAuthentication of one workload",
		change: intake.Batch{PeerAuthentications: map[ir.ConfigKey]*ir.PeerAuthentication{{Namespace: "apps", Name: "s"}: strict}},
		evaluated: map[string]int{
			"peerAuth": 1, "peerAuthDisabling": 1, "inbounds": 1,
			"resource.inboundClusters": 1, "resource.inboundListeners": 1,
		},
		sent: []string{"set class/" + first + " Listener virtualInbound"},
	}, {
		name: "a ProxyConfig",
		change: intake.Batch{ProxyConfigs: map[ir.ConfigKey]*ir.ProxyConfig{{Namespace: "apps", Name: "c"}: {
			Origin: ir.Origin{Kind: "ProxyConfig", Namespace: "apps", Name: "c"}, Workers: ir.Workers{Set: true, Number: 2},
		}}},
		evaluated: map[string]int{"proxyDefaults": 1},
	}, {
		name:    "the first proxy of another workload",
		classes: func() map[string]*ir.Class { return map[string]*ir.Class{classKey(&second): &second} },
		evaluated: map[string]int{
			"inbounds": 1, "tokens": 1, "sidecars.chosen": 1, "scopes": 1, "gatewayViews": 1, "spreads": 1, "resource.inboundClusters": 1, "resource.inboundListeners": 1,
		},
		sent: []string{
			"set class/" + classKey(&second) + " Cluster inbound|80||",
			"set class/" + classKey(&second) + " Cluster inbound|9000||",
			"set class/" + classKey(&second) + " Listener virtualInbound",
		},
	}}
}

func TestWorkBudgets(t *testing.T) {
	for _, b := range slices.Concat(budgets(), entryBudgets(), sidecarBudgets(), tokenBudgets()) {
		t.Run(b.name, func(t *testing.T) {
			var costs []map[string]int
			for _, services := range []int{10, 1000} {
				e := start(t, services)
				e.Step(b.before, nil)
				var classes map[string]*ir.Class
				if b.classes != nil {
					classes = b.classes()
				}
				out := e.Step(b.change, classes)
				if got := sent(out.Publish); !slices.Equal(got, b.sent) {
					t.Errorf("%d services: sent %q, want %q", services, got, b.sent)
				}
				if b.evaluated != nil && !maps.Equal(out.Commit.Evaluated, b.evaluated) {
					t.Errorf("%d services: evaluated %v, the budget is %v", services, out.Commit.Evaluated, b.evaluated)
				}
				costs = append(costs, out.Commit.Evaluated)
			}
			if b.evaluated != nil && !maps.Equal(costs[0], costs[1]) {
				t.Errorf("the cost depends on the size of the mesh: %v, %v", costs[0], costs[1])
			}
		})
	}
}

func TestFunctionsArePure(t *testing.T) {
	e := start(t, 5, graph.Check())
	for _, b := range slices.Concat(budgets(), entryBudgets(), sidecarBudgets(), tokenBudgets()) {
		e.Step(b.before, nil)
		e.Step(b.change, nil)
	}
}

func TestNothingIsLeft(t *testing.T) {
	e := start(t, 5)
	for _, b := range slices.Concat(budgets(), entryBudgets(), sidecarBudgets(), tokenBudgets()) {
		e.Step(b.before, nil)
		e.Step(b.change, nil)
	}
	empty := town(5)
	for _, b := range budgets() {
		maps.Copy(empty.Services, b.before.Services)
		maps.Copy(empty.Services, b.change.Services)
		maps.Copy(empty.Slices, b.before.Slices)
	}
	forget(empty.Services)
	forget(empty.Slices)
	forget(empty.Pods)
	forget(empty.Nodes)
	key, _ := sidecar("svc-0")
	gone := intake.Batch{
		Services: empty.Services, Slices: empty.Slices, Pods: empty.Pods, Nodes: empty.Nodes,
		Routes:              map[ir.ConfigKey]*ir.Routes{{Namespace: "apps", Name: "r"}: nil, {Namespace: "ops", Name: "r"}: nil, delegate: nil},
		Policies:            map[ir.ConfigKey]*ir.TrafficPolicy{{Namespace: "apps", Name: "p"}: nil},
		Sidecars:            map[ir.ConfigKey]*ir.Sidecar{sidecarKey: nil},
		PeerAuthentications: map[ir.ConfigKey]*ir.PeerAuthentication{{Namespace: "apps", Name: "s"}: nil},
		ProxyConfigs:        map[ir.ConfigKey]*ir.ProxyConfig{{Namespace: "apps", Name: "c"}: nil},
		ServiceEntries:      map[ir.ConfigKey]*ir.ServiceEntry{entryKey: nil, otherEntryKey: nil},
		WorkloadEntries:     map[ir.ConfigKey]*ir.Workload{entryKey: nil, otherEntryKey: nil},
		WorkloadHealths:     map[ir.ConfigKey]*ir.WorkloadHealth{entryKey: nil, otherEntryKey: nil},
		WorkloadGroups:      map[ir.ConfigKey]*ir.WorkloadGroup{entryKey: nil},
		Allocated:           map[ir.ConfigKey]*ir.Allocated{entryKey: nil},

		RequestAuthentications: map[ir.ConfigKey]*ir.RequestAuthentication{tokenKey: nil},
	}
	out := e.Step(gone, map[string]*ir.Class{key: nil})
	if !slices.Equal(out.Publish.DropClasses, []string{key}) {
		t.Errorf("dropped classes %q, want %q", out.Publish.DropClasses, key)
	}
	if n := e.model.ProxyDefaults.Len(); n != 0 {
		t.Errorf("%d namespaces with defaults for proxies are left", n)
	}
	for _, table := range e.resources.Tables {
		table.Range(func(k resource.Key, _ *resource.Resource) bool {
			if k.Layer == ir.LayerMesh || k.Layer == ir.ClassLayer(key) || k.Layer == ir.NamespaceLayer("apps") {
				t.Errorf("%v is left", k)
			}
			return true
		})
	}
}

func forget[K comparable, V any](m map[K]*V) {
	for k := range m {
		m[k] = nil
	}
}
