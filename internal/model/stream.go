// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// TCPKey is the listener of a TCP port's address in a layer.
type TCPKey struct {
	Layer ir.Layer
	Addr  netip.AddrPort
}

// Compare orders by layer and address.
func (k TCPKey) Compare(o TCPKey) int {
	return cmp.Or(cmp.Compare(k.Layer, o.Layer), k.Addr.Compare(o.Addr))
}

// deriveStreams makes the sidecars' listeners of what is carried as bytes. What
// policies say of them is kept apart, so that hosts need not read policies.
func (m *Model) deriveStreams(g *graph.Graph, requests *graph.Table[PortKey, struct{}]) {
	m.streams = graph.Derive(g, "streams", m.Targets, TargetKey.Compare, m.stream)
	m.streamed = graph.NewIndex(g, "streams.byHost", m.streams, strings.Compare,
		func(k TargetKey, _ ir.Stream) []string { return []string{k.Cluster.Host} }).Keys()
	m.streamRoutes = graph.NewIndex(g, "routes.byStreamHost", m.settled, strings.Compare,
		func(_ ir.ConfigKey, r *ir.Routes) []string {
			if !r.Mesh || len(r.TLS)+len(r.TCP) == 0 {
				return nil
			}
			return r.Hosts
		})
	parts := graph.Derive(g, "portStreams", m.hostNames, portStreamKey.Compare,
		func(c *graph.Ctx, name string, _ struct{}, emit func(portStreamKey, *portStream)) {
			if scopes := m.scopesOf(c, name); scopes.has(takesParts) {
				m.hostPortStreams(c, name, scopes, rulesOf(c, m.streamRoutes, name), emit)
			}
		})
	m.portStreams = graph.NewIndex(g, "portStreams.byPort", parts, viewedPort.compare,
		func(k portStreamKey, _ *portStream) []viewedPort { return []viewedPort{{k.Viewer, k.Port}} })
	m.partedPorts = graph.NewIndex(g, "portStreams.ports", parts, PortKey.Compare,
		func(k portStreamKey, _ *portStream) []PortKey { return []PortKey{{k.Viewer.layer(), k.Port}} }).Keys()
	m.deriveRanges(g)
	m.deriveReadPorts(g, requests)
	m.TCPListeners = graph.Derive(g, "tcpListeners", m.hostNames, TCPKey.Compare,
		func(c *graph.Ctx, name string, _ struct{}, emit func(TCPKey, *ir.TCPOutbound)) {
			mesh, ok := m.settings(c)
			scopes := m.scopesOf(c, name)
			if ok && scopes.has(carriesBytes) {
				m.tcpListeners(c, name, scopes, mesh, rulesOf(c, m.streamRoutes, name), emit)
			}
		})
	m.deriveAddressOwners(g)
}

// carriesBytes tells whether a host has a port, at an address of its own, whose
// connections are carried as bytes.
func carriesBytes(h *ir.Host) bool {
	return len(h.VIPs) > 0 && slices.ContainsFunc(h.Ports, func(p ir.ServicePort) bool { return !p.Protocol.IsHTTP() })
}

func (m *Model) stream(c *graph.Ctx, k TargetKey, t *Target, emit func(TargetKey, ir.Stream)) {
	if t.Protocol.IsHTTP() || k.Cluster.Subset != "" {
		return
	}
	if p := m.policyOf(c, t.Choice); p != nil {
		if s := p.For(k.Cluster.Port, "").Stream(); s != (ir.Stream{}) {
			emit(k, s)
		}
	}
}

// lostAddress is the problem of a host whose address is another host's as well.
func lostAddress(loser, winner *ir.Host, addr netip.AddrPort) ir.Problem {
	return ir.Problem{
		Origin: loser.Origin, Condition: ir.Conflicted, Reason: "AddressTaken",
		Message: "connections to " + addr.String() + " go to " + winner.Name + " of " + winner.Origin.String() +
			", not to " + loser.Name + "; give each an address of its own",
	}
}

// streamFor is how bytes are carried to a cluster, as somebody sees it.
func (m *Model) streamFor(c *graph.Ctx, by viewer, key ir.ClusterKey) ir.Stream {
	key.Subset = ""
	out, _ := graph.Get(c, m.streams, TargetKey{m.viewOf(c, by, key.Host).layer(), key})
	return out
}

// tcpListeners is a listener for each address of a TCP port: for everybody, and for
// each namespace or class that sees the host otherwise or carries bytes in another way.
func (m *Model) tcpListeners(
	c *graph.Ctx, name string, scopes hostScopes, mesh *ir.Mesh, rules *rulebook, emit func(TCPKey, *ir.TCPOutbound),
) {
	at := func(by viewer) map[netip.AddrPort]*ir.TCPOutbound {
		if h := scopes.in(by.namespace); h != nil {
			return m.bytesOf(c, h, mesh, rules, by)
		}
		return nil
	}
	for _, by := range m.streamViews(c, name, scopes, rules.all) {
		own := at(by)
		var below map[netip.AddrPort]*ir.TCPOutbound // what this view would hide
		if by != (viewer{}) {
			below = at(m.below(c, by))
		}
		for _, addr := range slices.SortedFunc(maps.Keys(own), netip.AddrPort.Compare) {
			if !reflect.DeepEqual(own[addr], below[addr]) {
				emit(TCPKey{by.layer(), addr}, own[addr])
			}
		}
	}
}

// bytesOf is the listeners of a host as a client sees it.
func (m *Model) bytesOf(
	c *graph.Ctx, h *ir.Host, mesh *ir.Mesh, book *rulebook, by viewer,
) map[netip.AddrPort]*ir.TCPOutbound {
	out := map[netip.AddrPort]*ir.TCPOutbound{}
	for _, p := range h.Ports {
		if p.Protocol.IsHTTP() {
			continue
		}
		rules := m.streamRules(c, h, p, book.seenBy(c, m, by, p.Port), by)
		for _, vip := range h.VIPs {
			addr := netip.AddrPortFrom(vip, p.Port)
			if owner := m.ownerOf(c, by.namespace, vip, p.Port); owner != nil && owner.Name != h.Name {
				if owner.Origin != h.Origin {
					c.Report(lostAddress(h, owner, addr))
				}
				continue
			}
			var here []streamRule
			for i := range rules {
				if r, ok := rules[i].at(vip); ok {
					here = append(here, r)
				}
			}
			at := &ir.TCPOutbound{Host: h.Name, Addr: addr, Chains: streamChains(here), AccessLogFile: mesh.AccessLogFile}
			if isAlone(h, p) && !slices.ContainsFunc(at.Chains, tunnels) {
				at.RouteConfig, at.Detection = ir.HostRouteName(h.Name, p.Port), mesh.Detection
				at.Paths, at.Dialect = mesh.Paths, mesh.Dialect
			}
			at.OnDemand = m.isOnDemand(c, at)
			out[addr] = at
		}
	}
	return out
}

// tunnels tells whether a chain is a tunnel, which is for requests as well.
func tunnels(c ir.StreamChain) bool { return c.Stream.Tunnel.Target != "" }

// streamRules is the rules of a host's port. Those for TLS are for the ports that
// say that they carry TLS, those for TCP for all others, and for TLS too where
// there are no rules for TLS at all. What no rule for TCP takes goes where it would
// go without rules; what no rule for TLS takes is closed.
func (m *Model) streamRules(c *graph.Ctx, h *ir.Host, p ir.ServicePort, routes []*ir.Routes, by viewer) []streamRule {
	req := request{port: p.Port, namespace: by.namespace, labels: m.labelsOf(c, by)}
	tls := p.Protocol.IsTLS() &&
		slices.ContainsFunc(routes, func(r *ir.Routes) bool { return len(r.TLS) > 0 })
	var out []streamRule
	for _, r := range routes {
		rules := r.TCP
		if tls {
			rules = r.TLS
		}
		for i := range rules {
			if x, ok := m.streamRuleAt(c, &rules[i], by, req, (*ir.Place).InSidecars); ok {
				out = append(out, x)
			}
		}
	}
	if tls && len(out) > 0 {
		return out
	}
	key := ir.ClusterKey{Host: h.Name, Port: p.Port}
	return append(out, streamRule{
		matches: whatever, targets: []ir.Target{{Cluster: key, Weight: 100, Dynamic: calledAt(p)}}, stream: m.streamFor(c, by, key),
	})
}

// streamViews is whose listeners of a host may differ from everybody's: everybody,
// then namespaces and classes that have sidecars.
func (m *Model) streamViews(c *graph.Ctx, name string, scopes hostScopes, candidates [][]*ir.Routes) []viewer {
	all := append([]viewer{{}}, namespaceViews(scopes.namespaces())...)
	all = append(all, m.shapers(c, name)...)
	all = append(all, m.listViews(c, name, scopes, candidates)...)
	for r := range everyRoute(candidates) {
		for d := range r.Carried() {
			if d.Host != name {
				all = append(all, m.shapers(c, d.Host)...)
				all = append(all, namespaceViews(m.narrowViews(c, d.Host))...)
			}
		}
	}
	return m.active(c, append(all, m.audience(c, candidates, streamPlaces)...))
}

// shapers is who has policies of their own for a host of which some policy shapes a
// listener.
func (m *Model) shapers(c *graph.Ctx, host string) []viewer {
	if _, streamed := graph.Get(c, m.streamed, host); !streamed {
		return nil
	}
	var out []viewer
	for k := range graph.Each(c, m.scopes, host) {
		out = append(out, k.Viewer)
	}
	return out
}
