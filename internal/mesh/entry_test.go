// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/meshwright/meshwright/internal/intake"
	"github.com/meshwright/meshwright/internal/ir"
)

// entryOf is a ServiceEntry of one host without an address.
func entryOf(name string, created int64) *ir.ServiceEntry {
	return &ir.ServiceEntry{
		Origin: ir.Origin{Kind: "ServiceEntry", Namespace: "apps", Name: name}, Created: created,
		Hosts: []string{name + ".example.com"}, Allocate: true, Resolution: ir.ResolveDNS, External: true,
		Ports:    []ir.ServicePort{{Name: "tcp", Port: 5432, Target: 5432, Protocol: ir.ProtocolTCP}},
		ExportTo: ir.Visibility{All: true},
	}
}

var entryKey, otherEntryKey = ir.ConfigKey{Namespace: "apps", Name: "one"}, ir.ConfigKey{Namespace: "apps", Name: "two"}

// staticEntry has endpoints, of which one has a weight.
func staticEntry(weight uint32) *ir.ServiceEntry {
	out := entryOf("one", 1)
	out.Resolution = ir.ResolveStatic
	for i := range byte(2) {
		out.Endpoints = append(out.Endpoints, ir.Workload{Addr: netip.AddrFrom4([4]byte{10, 1, 0, i}), Weight: weight})
	}
	return out
}

func entryBudgets() []budget {
	only := func(e *ir.ServiceEntry) intake.Batch {
		return intake.Batch{ServiceEntries: map[ir.ConfigKey]*ir.ServiceEntry{entryKey: e, otherEntryKey: entryOf("two", 2)}}
	}
	selecting := staticEntry(1)
	selecting.Endpoints, selecting.Selector = nil, ir.Labels{{Key: "app", Value: "vm"}}
	workload := func(weight uint32) map[ir.ConfigKey]*ir.Workload {
		return map[ir.ConfigKey]*ir.Workload{entryKey: {Addr: netip.AddrFrom4([4]byte{10, 1, 0, 1}), Labels: selecting.Selector, Weight: weight}}
	}
	selected := only(selecting)
	selected.WorkloadEntries = workload(1)
	// Two machines, of which one is not healthy.
	probed := only(selecting)
	probed.WorkloadEntries = map[ir.ConfigKey]*ir.Workload{}
	for i, k := range []ir.ConfigKey{entryKey, otherEntryKey} {
		probed.WorkloadEntries[k] = &ir.Workload{
			Addr: netip.AddrFrom4([4]byte{10, 1, 0, byte(i)}), Labels: selecting.Selector, Probed: true, Meshed: true, ServiceAccount: "vm",
		}
	}
	health := func(k ir.ConfigKey, healthy bool) map[ir.ConfigKey]*ir.WorkloadHealth {
		return map[ir.ConfigKey]*ir.WorkloadHealth{k: {Healthy: healthy}}
	}
	probed.WorkloadHealths = health(otherEntryKey, true)
	return []budget{{
		name:   "an endpoint's weight in a ServiceEntry",
		before: only(staticEntry(1)),
		change: only(staticEntry(2)),
		evaluated: map[string]int{
			"wishes": 1, "allocations": 1, "entryHosts": 1, "entrySets": 1, "entryIdentities": 1, "resource.endpoints": 1,
		},
		sent: []string{"set mesh ClusterLoadAssignment outbound|5432||one.example.com"},
	}, {
		name:      "the weight of a WorkloadEntry",
		before:    selected,
		change:    intake.Batch{WorkloadEntries: workload(2)},
		evaluated: map[string]int{"entrySets": 1, "entryIdentities": 1, "resource.endpoints": 1},
		sent:      []string{"set mesh ClusterLoadAssignment outbound|5432||one.example.com"},
	}, {
		name:      "a machine becomes healthy",
		before:    probed,
		change:    intake.Batch{WorkloadHealths: health(entryKey, true)},
		evaluated: map[string]int{"entrySets": 1, "entryIdentities": 1, "resource.endpoints": 1},
		sent:      []string{"set mesh ClusterLoadAssignment outbound|5432||one.example.com"},
	}, {
		name:      "a new machine that was not probed yet",
		before:    probed,
		change:    intake.Batch{WorkloadHealths: health(entryKey, false)},
		evaluated: map[string]int{"entrySets": 1},
	}, {
		name:      "a WorkloadGroup without machines",
		change:    intake.Batch{WorkloadGroups: map[ir.ConfigKey]*ir.WorkloadGroup{entryKey: {Template: ir.Workload{Weight: 1}}}},
		evaluated: map[string]int{},
	}, {
		name:   "a new ServiceEntry",
		before: intake.Batch{ServiceEntries: map[ir.ConfigKey]*ir.ServiceEntry{otherEntryKey: entryOf("two", 2)}},
		change: intake.Batch{ServiceEntries: map[ir.ConfigKey]*ir.ServiceEntry{entryKey: staticEntry(1)}},
		evaluated: map[string]int{
			"wishes": 1, "addresses": 1, "portStreams": 1, "allocations": 1, "entryHosts": 1, "homes": 1, "hosts": 1, "names": 1, "podHosts": 1, "portUses": 1,
			"entrySets": 1, "entryIdentities": 1, "choices": 1, "subsets": 1, "targets": 1, "hashes": 1, "nearness": 1, "streams": 1,
			"tcpListeners": 1, "virtualHosts": 1, "autoTargets": 1,
			"resource.clusters": 1, "resource.endpoints": 1, "resource.names": 1, "resource.tcpListeners": 2,
			"addressOwners": 1, "resource.addressClusters": 2,
		},
		sent: []string{
			"set mesh Cluster 240.240.20.35:5432",
			"set mesh Cluster outbound|5432||one.example.com", "set mesh ClusterLoadAssignment outbound|5432||one.example.com",
			"set mesh DnsVirtualDomain one.example.com",
			"set mesh Listener 240.240.20.35_5432",
		},
	}}
}

// TestAddressesStay: what the control plane said of an address holds in the next one,
// whoever came and went meanwhile; and writing it down changes nothing.
func TestAddressesStay(t *testing.T) {
	one, two := entryKey, otherEntryKey
	e := start(t, 1)
	out := e.Step(intake.Batch{ServiceEntries: map[ir.ConfigKey]*ir.ServiceEntry{one: entryOf("one", 1), two: entryOf("two", 2)}}, nil)
	origin := entryOf("two", 2).Origin
	said := out.Allocated[origin]
	if len(out.Allocated) != 2 || said == nil || len(said.Addresses) != 2 {
		t.Fatalf("allocated %v", out.Allocated)
	}
	if out = e.Step(intake.Batch{Allocated: map[ir.ConfigKey]*ir.Allocated{two: said}}, nil); len(out.Allocated) > 0 || len(sent(out.Publish)) > 0 {
		t.Errorf("writing it down changed %v and sent %q", out.Allocated, sent(out.Publish))
	}
	if out = e.Step(intake.Batch{ServiceEntries: map[ir.ConfigKey]*ir.ServiceEntry{one: nil}}, nil); len(out.Allocated) != 1 {
		t.Errorf("another one went: %v", out.Allocated)
	}

	// Where an older host would find the address now.
	moved := &ir.Allocated{Addresses: []ir.HostAddress{{Host: "two.example.com", Addr: netip.MustParseAddr("240.240.1.1")}}}
	e = start(t, 1)
	out = e.Step(intake.Batch{
		ServiceEntries: map[ir.ConfigKey]*ir.ServiceEntry{one: entryOf("one", 1), two: entryOf("two", 2)},
		Allocated:      map[ir.ConfigKey]*ir.Allocated{two: moved},
	}, nil)
	if got := out.Allocated[origin].Addresses[0]; got != moved.Addresses[0] {
		t.Errorf("got %v, had %v", got, moved.Addresses[0])
	}
	if !slices.Contains(sent(out.Publish), "set mesh Listener 240.240.1.1_5432") {
		t.Errorf("no listener of that address: %q", sent(out.Publish))
	}
}
