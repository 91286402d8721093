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

// Addresses on demand.
//
// A proxy that asks has no listener for an address whose bytes all go to one cluster.
// It asks for a cluster with the name of the address as soon as somebody connects to
// it. It does so for addresses of some ranges only, so that nothing else ever depends
// on the answer. The ranges are those of the hosts' addresses, so coarse that the next
// Service is most likely to be in one of them.

type addressTables struct {
	prefixes *graph.Table[netip.Prefix, struct{}]
	ranges   *graph.Table[One, []netip.Prefix] // all prefixes, sorted; one row, which changes hardly ever
	// readPorts are those whose listener reads what clients send first. There each address
	// needs a listener of its own, or that of the port would take what is meant for it.
	readPorts     *graph.Table[uint16, struct{}]
	tcpByHost     *graph.Index[string, TCPKey, *ir.TCPOutbound]
	AddressOwners *graph.Table[TCPKey, TargetKey] // whose an address is
}

// rangeBits is how coarse ranges are. Kubernetes gives Services a range of 16 such
// blocks at most, unless it is told otherwise.
const (
	rangeBits4 = 16
	rangeBits6 = 112
)

// rangeOf is the range of an address.
func rangeOf(a netip.Addr) netip.Prefix {
	bits := rangeBits6
	if a.Is4() {
		bits = rangeBits4
	}
	return netip.PrefixFrom(a, bits).Masked()
}

// deriveRanges finds the ranges of the addresses that Services and the mesh itself
// give. An address that a user gave to a ServiceEntry may be among any others.
func (m *Model) deriveRanges(g *graph.Graph) {
	m.prefixes = graph.NewIndex(g, "prefixes", m.hosts, ir.ComparePrefix,
		func(_ scopeHost, h *ir.Host) []netip.Prefix {
			if h.Origin.Kind != kindService && !h.Allocated {
				return nil
			}
			out := make([]netip.Prefix, len(h.VIPs))
			for i, a := range h.VIPs {
				out[i] = rangeOf(a)
			}
			return slices.Compact(out) // the addresses are sorted
		}).Keys()
	all := graph.NewIndex(g, "prefixes.all", m.prefixes, One.Compare,
		func(netip.Prefix, struct{}) []One { return []One{{}} })
	m.ranges = graph.Derive(g, "ranges", all.Keys(), One.Compare,
		func(c *graph.Ctx, k One, _ struct{}, emit func(One, []netip.Prefix)) {
			var out []netip.Prefix
			for p := range graph.Each(c, all, k) {
				out = append(out, p)
			}
			slices.SortFunc(out, ir.ComparePrefix)
			emit(k, out)
		})
}

// deriveReadPorts finds the ports whose listener looks at what clients send first, in
// anybody's view: it tells requests apart, or names, or hosts that have part of the port.
func (m *Model) deriveReadPorts(g *graph.Graph, requests *graph.Table[PortKey, struct{}]) {
	numbers := func(name string, ports *graph.Table[PortKey, struct{}]) *graph.Table[uint16, struct{}] {
		return graph.NewIndex(g, name, ports, cmp.Compare[uint16], func(k PortKey, _ struct{}) []uint16 { return []uint16{k.Port} }).Keys()
	}
	m.readPorts = graph.Union(g, "readPorts", cmp.Compare[uint16],
		numbers("readPorts.requests", requests), numbers("readPorts.parts", m.partedPorts))
}

// rangesAt is the ranges of which the listener of a port asks.
func (m *Model) rangesAt(c *graph.Ctx, port uint16) []netip.Prefix {
	if has(c, m.readPorts, port) {
		return nil
	}
	out, _ := graph.Get(c, m.ranges, One{})
	return out
}

// isOnDemand tells whether a proxy that asks can do without a listener.
func (m *Model) isOnDemand(c *graph.Ctx, at *ir.TCPOutbound) bool {
	return at.RouteConfig == "" && isPlain(at.Chains, ir.ClusterKey{Host: at.Host, Port: at.Addr.Port()}) &&
		has(c, m.prefixes, rangeOf(at.Addr.Addr())) && !has(c, m.readPorts, at.Addr.Port())
}

// isPlain tells whether chains do nothing but carry all bytes to a cluster, by nobody's
// rules.
func isPlain(chains []ir.StreamChain, to ir.ClusterKey) bool {
	if len(chains) != 1 {
		return false
	}
	c := &chains[0]
	return len(c.Targets) == 1 && c.Targets[0].Cluster == to && c.Stream == (ir.Stream{}) && len(c.Origins) == 0 &&
		len(c.Subnets)+len(c.ServerNames) == 0 && c.TLS == nil && !c.ByName && !c.Detected
}

// deriveAddressOwners says which cluster is meant by an address: for everybody, and for
// each namespace or class that sees the address or the cluster otherwise. It does so
// for those with a listener, too: the connections that went by the cluster before the
// address needed one must not end.
func (m *Model) deriveAddressOwners(g *graph.Graph) {
	m.tcpByHost = graph.NewIndex(g, "tcpListeners.byHost", m.TCPListeners, strings.Compare,
		func(_ TCPKey, l *ir.TCPOutbound) []string { return []string{l.Host} })
	m.AddressOwners = graph.Derive(g, "addressOwners", m.tcpByHost.Keys(), TCPKey.Compare,
		func(c *graph.Ctx, name string, _ struct{}, emit func(TCPKey, TargetKey)) {
			for _, by := range m.addressViews(c, name) {
				var below map[netip.AddrPort]TargetKey // what this view would hide
				if by != (viewer{}) {
					below = m.addressesOf(c, name, m.below(c, by))
				}
				for addr, target := range m.addressesOf(c, name, by) {
					if hidden, ok := below[addr]; !ok || hidden != target {
						emit(TCPKey{by.layer(), addr}, target)
					}
				}
			}
		})
}

// addressViews is who may see a host's addresses or its policies in their own way.
func (m *Model) addressViews(c *graph.Ctx, host string) []viewer {
	all := []viewer{{}}
	for k := range graph.Each(c, m.scopes, host) {
		all = append(all, k.Viewer)
	}
	for k := range graph.Each(c, m.tcpByHost, host) {
		if by, held := m.viewerOf(c, k.Layer); held {
			all = append(all, by)
		}
	}
	return m.active(c, all)
}

// addressesOf is the addresses of a host with their clusters, as somebody sees them.
func (m *Model) addressesOf(c *graph.Ctx, host string, by viewer) map[netip.AddrPort]TargetKey {
	layers := map[ir.Layer]bool{}
	for _, v := range m.lineage(c, by) {
		layers[v.layer()] = true
	}
	out := map[netip.AddrPort]TargetKey{}
	seen := m.viewOf(c, by, host).layer()
	for k := range graph.Each(c, m.tcpByHost, host) {
		if layers[k.Layer] {
			out[k.Addr] = TargetKey{seen, ir.ClusterKey{Host: host, Port: k.Addr.Port()}}
		}
	}
	return out
}

// TargetAt is a target as it is seen in a layer of sidecars.
func (m *Model) TargetAt(c *graph.Ctx, l ir.Layer, key ir.ClusterKey) (TargetKey, *Target, bool) {
	by, held := m.viewerOf(c, l)
	if !held {
		return TargetKey{}, nil, false
	}
	at := TargetKey{m.viewOf(c, by, key.Host).layer(), key}
	t, ok := graph.Get(c, m.Targets, at)
	return at, t, ok
}
