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
	if !t.HasPolicy || t.Protocol.IsHTTP() || k.Cluster.Subset != "" {
		return
	}
	if p, ok := graph.Get(c, m.Policies.Table(), t.Policy); ok {
		if s := p.For(k.Cluster.Port, "").Stream(); s != (ir.Stream{}) {
			emit(k, s)
		}
	}
}

// tcpListeners is a listener for each address of a TCP port: for everybody, and for
// each namespace that sees the host otherwise or whose own policy carries bytes in
// another way.
func (m *Model) tcpListeners(c *graph.Ctx, name string, _ struct{}, emit func(TCPKey, *ir.TCPOutbound)) {
	mesh, ok := m.settings(c)
	if !ok {
		return
	}
	scopes := m.scopesOf(c, name)
	views := append(m.streamViews(c, name), scopes.namespaces()...)
	slices.Sort(views)
	if scopes.all != nil {
		views = slices.Insert(views, 0, "")
	}
	for _, scope := range slices.Compact(views) {
		h := scopes.in(scope)
		if h == nil || scope != "" && !m.activeIn(c, scope) {
			continue
		}
		for _, p := range h.Ports {
			if p.Protocol.IsHTTP() {
				continue
			}
			key := ir.ClusterKey{Host: name, Port: p.Port}
			how := m.streamFor(c, scope, key)
			if scope != "" && h == scopes.all && how == m.streamFor(c, "", key) {
				continue // as everybody has it
			}
			for _, vip := range h.VIPs {
				out := &ir.TCPOutbound{
					Addr: netip.AddrPortFrom(vip, p.Port), Cluster: key, Stream: how, AccessLogFile: mesh.AccessLogFile,
				}
				emit(TCPKey{scopeLayer(scope), out.Addr}, out)
			}
		}
	}
}

// streamFor is how bytes are carried, as a scope sees it.
func (m *Model) streamFor(c *graph.Ctx, scope string, key ir.ClusterKey) ir.Stream {
	out, _ := graph.Get(c, m.streams, TargetKey{scopeLayer(scope), key})
	return out
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
