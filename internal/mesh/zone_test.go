// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/proto"

	"github.com/meshwright/meshwright/internal/intake"
	"github.com/meshwright/meshwright/internal/ir"
)

// TestSpreadsWakeTheirClass: who balances by zones is told when the pods around it
// spread otherwise, and nobody else is, nor anybody while no cluster asks for it.
func TestSpreadsWakeTheirClass(t *testing.T) {
	for _, services := range []int{10, 1000} {
		e := start(t, services)
		classes, keys := map[string]*ir.Class{}, []string{}
		for _, app := range []string{"svc-0", "svc-2"} {
			_, c := sidecar(app)
			c.Locality = ir.Locality{Zone: "a"}
			keys = append(keys, classKey(c))
			classes[classKey(c)] = c
		}
		e.Step(intake.Batch{}, classes)
		own := func(verb, class string) string {
			return verb + " class/" + class + " ClusterLoadAssignment local_cluster"
		}
		step := func(what string, b intake.Batch, spreads int, want ...string) {
			t.Helper()
			out := e.Step(b, nil)
			var got []string
			for _, line := range sent(out.Publish) {
				if slices.Contains([]string{own("set", keys[0]), own("set", keys[1]), own("remove", keys[0]), own("remove", keys[1])}, line) {
					got = append(got, line)
				}
			}
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%d services, %s: sent %q, want %q", services, what, got, want)
			}
			if n := out.Commit.Evaluated["spreads"]; n != spreads {
				t.Errorf("%d services, %s: %d spreads evaluated, want %d", services, what, n, spreads)
			}
		}
		slicesOf := func(s *ir.EndpointSlice) intake.Batch {
			return intake.Batch{Slices: map[ir.ObjectKey]*ir.EndpointSlice{s.Key: s}}
		}
		rule := func(near *ir.Nearness) intake.Batch {
			p := policy(ir.BalanceRandom)
			p.Settings.LoadBalancer.Near = near
			return intake.Batch{Policies: map[ir.ConfigKey]*ir.TrafficPolicy{{Namespace: "apps", Name: "p"}: p}}
		}

		step("a pod goes", slicesOf(sliceOf(0, 1)), 0)
		step("it comes back", slicesOf(sliceOf(0, 2)), 0)
		step("a rule for zones", rule(&ir.Nearness{Zones: &ir.Zones{Least: 6}}), 2, own("set", keys[0]), own("set", keys[1]))
		step("a pod goes", slicesOf(sliceOf(0, 1)), 1, own("set", keys[0]))
		step("a pod of the host goes", slicesOf(sliceOf(1, 1)), 0)
		moved := sliceOf(0, 1)
		moved.Endpoints = append(moved.Endpoints, ir.SliceEndpoint{
			Addr: netip.AddrFrom4([4]byte{10, 99, 0, 0}), Pod: "svc-0-1", Node: "n1", Ready: true,
		})
		step("it comes back", slicesOf(sliceOf(0, 2)), 1, own("set", keys[0]))
		step("another is there in its place", slicesOf(moved), 1)
		step("the rule asks for something else", rule(&ir.Nearness{Off: true}), 2, own("remove", keys[0]), own("remove", keys[1]))
		step("a pod goes", slicesOf(sliceOf(0, 1)), 0)
	}
}

// TestClustersRank: a label may prefer the endpoints of the client's own cluster.
func TestClustersRank(t *testing.T) {
	e := start(t, 2)
	_, class := sidecar("svc-0")
	class.Cluster = "west"
	away := sliceOf(1, 1)
	away.Key.Cluster, away.Service.Cluster, away.Endpoints[0].Addr = "west", "west", netip.MustParseAddr("10.9.0.1")
	pod := ir.ObjectKey{Cluster: "west", Namespace: "apps", Name: away.Endpoints[0].Pod}
	rule := policy(ir.BalanceRandom)
	rule.Settings.Outliers = &ir.OutlierDetection{}
	rule.Settings.LoadBalancer.Near = &ir.Nearness{Labels: []ir.LabelPriority{{Key: ir.LabelCluster}}}
	out := e.Step(intake.Batch{
		Slices:   map[ir.ObjectKey]*ir.EndpointSlice{away.Key: away},
		Pods:     map[ir.ObjectKey]*ir.Pod{pod: {Key: pod}},
		Policies: map[ir.ConfigKey]*ir.TrafficPolicy{{Namespace: "apps", Name: "p"}: rule},
	}, map[string]*ir.Class{classKey(class): class})
	var got []string
	for _, p := range out.Publish.Set {
		if string(p.Layer) != string(ir.ClassLayer(classKey(class))) || p.Resource.Name != "outbound|8080||"+host(1) {
			continue
		}
		a := &endpointv3.ClusterLoadAssignment{}
		if err := proto.Unmarshal(p.Resource.Body, a); err != nil {
			t.Fatal(err)
		}
		for _, l := range a.Endpoints {
			for _, line := range l.LbEndpoints {
				got = append(got, fmt.Sprint(l.Priority, " ", line.GetEndpoint().GetAddress().GetSocketAddress().GetAddress()))
			}
		}
	}
	if want := []string{"0 10.9.0.1", "1 10.1.0.1", "1 10.2.0.1"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
