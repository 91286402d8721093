// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"net/netip"
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
	m.TCPListeners = graph.Derive(g, "tcpListeners", m.hosts, TCPKey.Compare, m.tcpListeners)
}

func (m *Model) stream(c *graph.Ctx, k TargetKey, t *Target, emit func(TargetKey, ir.Stream)) {
	if !t.HasPolicy || t.Protocol.IsHTTP() || k.Cluster.Subset != "" {
		return
	}
	if p, ok := graph.Get(c, m.Policies.Table(), t.Policy); ok {
		if s := p.For(k.Cluster.Port, "").Stream(); s != (ir.Stream{}) {
			emit(k, s)
		}
	}
}

// tcpListeners is a listener for each address of a TCP port: for everybody, and
// for each namespace whose own policy carries bytes in another way.
func (m *Model) tcpListeners(c *graph.Ctx, name string, h *ir.Host, emit func(TCPKey, *ir.TCPOutbound)) {
	mesh, ok := m.settings(c)
	if !ok {
		return
	}
	views := m.streamViews(c, name)
	for _, p := range h.Ports {
		if p.Protocol.IsHTTP() {
			continue
		}
		key := ir.ClusterKey{Host: name, Port: p.Port}
		all, _ := graph.Get(c, m.streams, TargetKey{ir.LayerMesh, key})
		for _, vip := range h.VIPs {
			out := ir.TCPOutbound{
				Addr: netip.AddrPortFrom(vip, p.Port), Cluster: key, Stream: all, AccessLogFile: mesh.AccessLogFile,
			}
			emit(TCPKey{ir.LayerMesh, out.Addr}, &out)
			for _, scope := range views {
				own, _ := graph.Get(c, m.streams, TargetKey{scopeLayer(scope), key})
				if own != all {
					view := out
					view.Stream = own
					emit(TCPKey{scopeLayer(scope), out.Addr}, &view)
				}
			}
		}
	}
}

// streamViews is the namespaces with a policy of their own for a host of which
// some policy shapes a listener.
func (m *Model) streamViews(c *graph.Ctx, host string) []string {
	if _, streamed := graph.Get(c, m.streamed, host); !streamed {
		return nil
	}
	var out []string
	for k := range graph.Each(c, m.scopes, host) {
		if k.Scope != "" {
			out = append(out, k.Scope)
		}
	}
	return out
}
