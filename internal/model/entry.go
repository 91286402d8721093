// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// entryTables is the tables of what users add to Kubernetes, and what Kubernetes says
// that only those look at.
type entryTables struct {
	addresses      *graph.Table[string, *allocated]
	entryHosts     *graph.Index[string, entryHost, *definition]
	servicesByHost *graph.Index[string, ir.ObjectKey, *ir.Service]
	hostsByAddress *graph.Index[netip.Addr, scopeHost, *ir.Host]

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
	allocating := graph.NewIndex(g, "serviceEntries.allocating", m.ServiceEntries.Table(), One.Compare,
		func(_ ir.ConfigKey, e *ir.ServiceEntry) []One {
			if !e.Allocate {
				return nil
			}
			return []One{{}}
		})
	m.addresses = graph.Derive(g, "addresses", allocating.Keys(), strings.Compare,
		func(c *graph.Ctx, k One, _ struct{}, emit func(string, *allocated)) {
			allocate(wanting(graph.Lookup(c, allocating, k)), emit)
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

// wanting is the hosts that want an address, each with its oldest ServiceEntry, the
// oldest first.
func wanting(rows []graph.Row[ir.ConfigKey, *ir.ServiceEntry]) []string {
	entries := make([]*ir.ServiceEntry, len(rows))
	for i := range rows {
		entries[i] = rows[i].Value
	}
	slices.SortFunc(entries, func(a, b *ir.ServiceEntry) int {
		return ir.Precedence(a.Created, a.Origin, b.Created, b.Origin)
	})
	seen := map[string]bool{}
	var out []string
	for _, e := range entries {
		for _, h := range e.Hosts {
			if !seen[h] && !strings.HasPrefix(h, "*") {
				seen[h] = true
				out = append(out, h)
			}
		}
	}
	return out
}
