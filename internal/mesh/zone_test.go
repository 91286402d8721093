// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"net/netip"
	"slices"
	"testing"

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
