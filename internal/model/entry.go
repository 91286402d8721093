// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"net/netip"
	"strings"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// entryTables is the tables of what users add to Kubernetes, and what Kubernetes says
// that only those look at.
type entryTables struct {
	addresses      *graph.Table[string, *allocated]
	Allocations    *graph.Table[ir.ConfigKey, *ir.Allocated] // by ServiceEntry: what its status is to say
	entryHosts     *graph.Index[string, entryHost, *definition]
	servicesByHost *graph.Index[string, ir.ObjectKey, *ir.Service]
	strays         *graph.Table[string, struct{}] // hosts that only routes name
	coverings      *graph.Table[One, coverings]
	hostsByAddress *graph.Index[netip.Addr, scopeHost, *ir.Host]

	partedPorts  *graph.Table[PortKey, struct{}]                // of which hosts have a part
	streamRoutes *graph.Index[string, ir.ConfigKey, *ir.Routes] // with rules for bytes, by host
	portStreams  *graph.Index[viewedPort, portStreamKey, *portStream]

	entriesByPair      *graph.Index[namespacePair, ir.ConfigKey, *ir.ServiceEntry]
	entrySelectors     *graph.Table[string, struct{}] // namespaces whose ServiceEntries select workloads
	workloadsByPair    *graph.Index[namespacePair, ir.ConfigKey, *ir.Workload]
	workloadNamespaces *graph.Table[string, struct{}]      // with WorkloadEntries
	pods               *graph.Table[ir.ObjectKey, *ir.Pod] // without what only selectors look at

	EntrySets       *graph.Table[ir.ConfigKey, *ir.EndpointSet]
	entryIdentities *graph.Table[ir.ConfigKey, *ir.HostIdentity]
}

// entryHost is one host of one ServiceEntry.
type entryHost struct {
	Host  string
	Entry ir.ConfigKey
}

func (k entryHost) Compare(o entryHost) int {
	return cmp.Or(strings.Compare(k.Host, o.Host), k.Entry.Compare(o.Entry))
}

// deriveEntries makes what ServiceEntries say of hosts, and gives an address to the
// hosts that have none.
func (m *Model) deriveEntries(g *graph.Graph) {
	// Apart from the rest of the entries: what serves them is of no interest here.
	wanted := graph.Derive(g, "wishes", m.ServiceEntries.Table(), ir.ConfigKey.Compare,
		func(c *graph.Ctx, k ir.ConfigKey, e *ir.ServiceEntry, emit func(ir.ConfigKey, *wishes)) {
			if e.Allocate {
				had, _ := graph.Get(c, m.Remembered.Table(), k)
				emit(k, wishesOf(e, had))
			}
		})
	all := graph.NewIndex(g, "wishes.all", wanted, One.Compare,
		func(ir.ConfigKey, *wishes) []One { return []One{{}} })
	m.addresses = graph.Derive(g, "addresses", all.Keys(), strings.Compare,
		func(c *graph.Ctx, k One, _ struct{}, emit func(string, *allocated)) {
			allocate(inOrder(graph.Lookup(c, all, k)), emit)
		})
	m.Allocations = graph.Derive(g, "allocations", m.ServiceEntries.Table(), ir.ConfigKey.Compare,
		func(c *graph.Ctx, k ir.ConfigKey, e *ir.ServiceEntry, emit func(ir.ConfigKey, *ir.Allocated)) {
			if out := m.allocation(c, e); len(out.Addresses) > 0 {
				emit(k, out)
			}
		})
	hosts := graph.Derive(g, "entryHosts", m.ServiceEntries.Table(), entryHost.Compare,
		func(c *graph.Ctx, k ir.ConfigKey, e *ir.ServiceEntry, emit func(entryHost, *definition)) {
			for _, name := range e.Hosts {
				var own *allocated
				if e.Allocate {
					own, _ = graph.Get(c, m.addresses, name)
				}
				emit(entryHost{name, k}, define(e, name, own))
			}
		})
	m.entryHosts = graph.NewIndex(g, "entryHosts.byHost", hosts, strings.Compare,
		func(k entryHost, _ *definition) []string { return []string{k.Host} })
}

// define is what a ServiceEntry says of one of its hosts.
func define(e *ir.ServiceEntry, name string, own *allocated) *definition {
	h := &ir.Host{Name: name, Namespace: e.Origin.Namespace, Origin: e.Origin, Created: e.Created}
	for _, p := range e.Addresses {
		if p.IsSingleIP() {
			h.VIPs = append(h.VIPs, p.Addr())
		} else {
			h.Ranges = append(h.Ranges, p)
		}
	}
	if own != nil {
		h.VIPs = []netip.Addr{own.IPv4, own.IPv6}
		h.Allocated = true
	}
	entry := &ir.Entry{
		Key: e.Origin.Key(), Resolution: e.Resolution, External: e.External, SubjectAltNames: e.SubjectAltNames,
	}
	for _, p := range e.Ports {
		p.Entry = entry
		h.Ports = append(h.Ports, p)
	}
	return &definition{Host: h, ExportTo: e.ExportTo}
}

// allocation is the addresses that the hosts of a ServiceEntry have of the mesh.
func (m *Model) allocation(c *graph.Ctx, e *ir.ServiceEntry) *ir.Allocated {
	out := &ir.Allocated{}
	if !e.Allocate {
		return out
	}
	for _, h := range e.Hosts {
		if a, ok := graph.Get(c, m.addresses, h); ok {
			out.Addresses = append(out.Addresses, ir.HostAddress{Host: h, Addr: a.IPv4}, ir.HostAddress{Host: h, Addr: a.IPv6})
		}
	}
	return out
}
