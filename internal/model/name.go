// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"net/netip"
	"strings"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// NameKey is a name of the DNS table in a layer.
type NameKey struct {
	Layer ir.Layer
	Host  string
}

// Compare orders by layer, then host.
func (k NameKey) Compare(o NameKey) int {
	return cmp.Or(strings.Compare(string(k.Layer), string(o.Layer)), strings.Compare(k.Host, o.Host))
}

// deriveNames makes the DNS table. A host without an address of its own is answered
// with those of its endpoints; one that has neither is left to the DNS server of the
// cluster, as is the alias of another name.
func (m *Model) deriveNames(g *graph.Graph) {
	m.Names = graph.Derive(g, "names", m.hosts, NameKey.Compare,
		func(c *graph.Ctx, k scopeHost, h *ir.Host, emit func(NameKey, *ir.Name)) {
			if k.Scope != "" && !m.activeIn(c, k.Scope) {
				return
			}
			name := &ir.Name{Host: k.Host, Addresses: h.VIPs}
			if h.Headless {
				set, _ := graph.Get(c, m.EndpointSets, k.Host)
				name.Addresses = serving(set)
			}
			if len(name.Addresses) > 0 && h.Alias == "" {
				emit(NameKey{scopeLayer(k.Scope), k.Host}, name)
			}
		})
}

// serving is the addresses of the best of a set, each once.
func serving(set *ir.EndpointSet) []netip.Addr {
	if set == nil {
		return nil
	}
	var out []netip.Addr
	for _, tier := range []tier{ready, presumed, leaving} {
		for i := range set.Backends {
			if tierOf(&set.Backends[i]) == tier {
				out = append(out, set.Backends[i].Addrs()...)
			}
		}
		if len(out) > 0 {
			break
		}
	}
	return eachOnce(out)
}
