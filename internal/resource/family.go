// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"net/netip"
	"slices"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/meshwright/meshwright/internal/envoy/listener"
	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/model"
)

// captured is a listener of what applications call, whatever the address. The proxies
// that listen on IPv6 have another one: a machine without IPv6 refuses a listener that
// names an address of it, were it only to compare.
type captured struct {
	model   *model.Model
	layer   ir.Layer
	origins []ir.Origin
	needs   []string
}

func (l captured) put(c *graph.Ctx, emit emitter, ranges []netip.Prefix, build func([]netip.Prefix) *listenerv3.Listener) {
	place := func(layer ir.Layer, built *listenerv3.Listener) {
		if r := put(c, emit, layer, TypeListener, built.Name, built, l.origins); r != nil {
			r.Needs = l.needs
		}
	}
	six, speaks := l.model.IPv6Layer(c, l.layer)
	if !speaks || six != l.layer {
		place(l.layer, build(slices.DeleteFunc(slices.Clone(ranges), func(p netip.Prefix) bool { return p.Addr().Is6() })))
	}
	if speaks {
		place(six, listener.BothFamilies(build(ranges)))
	}
}

// layerOf is where those have what they need to call an address who can; ok is false when
// nobody can.
func layerOf(m *model.Model, c *graph.Ctx, k model.TCPKey) (l ir.Layer, ok bool) {
	if k.Addr.Addr().Is6() {
		return m.IPv6Layer(c, k.Layer)
	}
	return k.Layer, true
}
