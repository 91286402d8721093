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

// TCPKey is the listener of a TCP port's address in a layer.
type TCPKey struct {
	Layer ir.Layer
	Addr  netip.AddrPort
}

// Compare orders by layer and address.
func (k TCPKey) Compare(o TCPKey) int {
	return cmp.Or(cmp.Compare(k.Layer, o.Layer), k.Addr.Compare(o.Addr))
}

// deriveStreams keeps what policies say of TCP listeners apart from the rest of
// them, so that hosts need not read policies.
func (m *Model) deriveStreams(g *graph.Graph) {
	m.streams = graph.Derive(g, "streams", m.Targets, TargetKey.Compare, m.stream)
	m.streamed = graph.NewIndex(g, "streams.byHost", m.streams, strings.Compare,
		func(k TargetKey, _ ir.Stream) []string { return []string{k.Cluster.Host} }).Keys()
	m.TCPListeners = graph.Derive(g, "tcpListeners", m.hostNames, TCPKey.Compare, m.tcpListeners)
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

// tcpListeners is a listener for each address of a TCP port: for everybody, and for
// each namespace or class that sees the host otherwise or whose own policy carries
// bytes in another way.
func (m *Model) tcpListeners(c *graph.Ctx, name string, _ struct{}, emit func(TCPKey, *ir.TCPOutbound)) {
	mesh, ok := m.settings(c)
	if !ok {
		return
	}
	scopes := m.scopesOf(c, name)
	for _, by := range m.streamViews(c, name, scopes) {
		h := scopes.in(by.namespace)
		if h == nil {
			continue
		}
		for _, p := range h.Ports {
			if p.Protocol.IsHTTP() {
				continue
			}
			key := ir.ClusterKey{Host: name, Port: p.Port}
			how := m.streamFor(c, by, key)
			if below := by.below(); by != below && h == scopes.in(below.namespace) && how == m.streamFor(c, below, key) {
				continue // as those have it whose view this one would hide
			}
			for _, vip := range h.VIPs {
				out := &ir.TCPOutbound{
					Addr: netip.AddrPortFrom(vip, p.Port), Cluster: key, Stream: how, AccessLogFile: mesh.AccessLogFile,
				}
				if isAlone(h, p) && how.Tunnel.Target == "" { // a tunnel is for all bytes
					out.RouteConfig, out.Detection, out.Paths = ir.HostRouteName(name, p.Port), mesh.Detection, mesh.Paths
				}
				emit(TCPKey{by.layer(), out.Addr}, out)
			}
		}
	}
}

// streamFor is how bytes are carried, as somebody sees it.
func (m *Model) streamFor(c *graph.Ctx, by viewer, key ir.ClusterKey) ir.Stream {
	out, _ := graph.Get(c, m.streams, TargetKey{m.viewOf(c, by, key.Host).layer(), key})
	return out
}

// streamViews is who sees a host in their own way, or has a policy of their own for
// it while some policy shapes a listener; only those that have sidecars.
func (m *Model) streamViews(c *graph.Ctx, host string, scopes hostScopes) []viewer {
	out := []viewer{{}}
	for _, ns := range scopes.namespaces() {
		out = append(out, viewer{namespace: ns})
	}
	if _, streamed := graph.Get(c, m.streamed, host); streamed {
		for k := range graph.Each(c, m.scopes, host) {
			out = append(out, k.Viewer)
		}
	}
	slices.SortFunc(out, viewer.compare)
	return slices.DeleteFunc(slices.Compact(out), func(v viewer) bool {
		return v.class != "" && !m.isSidecar(c, v) || v.namespace != "" && !m.activeIn(c, v.namespace)
	})
}
