// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"slices"
	"strings"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// A proxy that tells places apart must know two things beside the endpoints: where it
// is itself, and how the pods that share its work are spread, as they call, too. Its
// bootstrap says of both nothing: it has a cluster for such pods that it asks us for,
// and a place without a name. So in what is told to proxies of one place, for clusters
// that are balanced by zones, that place is the one without a name.

// elsewhere is the name of the place of endpoints of which no place is known, where the
// client's own place has none. Its zone is empty, so that no metrics are made for it.
var elsewhere = ir.Locality{SubZone: "unknown"}

// placeFor is the name of a place as a client is told of it.
func placeFor(near *ir.Nearness, who *Client, where ir.Locality) ir.Locality {
	switch {
	case !near.ByZones() || !who.Known || who.Locality == (ir.Locality{}):
		return where
	case where == who.Locality:
		return ir.Locality{}
	case where == (ir.Locality{}):
		return elsewhere
	}
	return where
}

// deriveZones makes how the pods around each proxy are spread, for those that tell
// places apart. No other class reads where its pods are.
func (m *Model) deriveZones(g *graph.Graph) {
	layers := func(name string, of *graph.Table[TargetKey, *ir.Nearness]) *graph.Table[ir.Layer, struct{}] {
		return graph.NewIndex(g, name, of, ir.Layer.Compare, func(k TargetKey, n *ir.Nearness) []ir.Layer {
			if !n.ByZones() {
				return nil
			}
			return []ir.Layer{k.Layer}
		}).Keys()
	}
	m.zoned = graph.Union(g, "zoned", ir.Layer.Compare, layers("nearness.byZones", m.nearness), layers("gatewayNearness.byZones", m.gatewayNearness))
	m.Spreads = graph.Derive(g, "spreads", m.Classes.Table(), strings.Compare, m.spread)
}

func (m *Model) spread(c *graph.Ctx, key string, class *ir.Class, emit func(string, *ir.Assignment)) {
	if class.Locality == (ir.Locality{}) || !slices.ContainsFunc(m.layers(c, key, class), func(l ir.Layer) bool { return has(c, m.zoned, l) }) {
		return
	}
	var sets []*ir.EndpointSet
	for _, s := range m.selecting(c, class.Namespace, class.Labels) {
		if set, ok := graph.Get(c, m.EndpointSets, s.Host); ok {
			sets = append(sets, set)
		}
	}
	emit(key, spreadOf(sets, class.Locality))
}

// spreadOf is the places of the pods behind some hosts, as they are told at one of
// those places. Those of other regions do not count: they call the servers of theirs.
// One pod stands for all of its place and weighs as many: which one it is says nothing,
// and with hundreds of them each would be told of hundreds.
func spreadOf(sets []*ir.EndpointSet, here ir.Locality) *ir.Assignment {
	var pods []*ir.Backend
	for _, set := range sets {
		for i := range set.Backends {
			if b := &set.Backends[i]; tierOf(b) <= presumed && b.Addr.IsValid() && b.Locality.Region == here.Region {
				pods = append(pods, b)
			}
		}
	}
	slices.SortStableFunc(pods, func(a, b *ir.Backend) int {
		return cmp.Or(a.Locality.Compare(b.Locality), a.Addr.Compare(b.Addr))
	})
	pods = slices.CompactFunc(pods, func(a, b *ir.Backend) bool { return a.Addr == b.Addr })
	out := &ir.Assignment{}
	near, who := &ir.Nearness{Zones: &ir.Zones{}}, &Client{Known: true, Locality: here}
	for _, b := range pods {
		where := placeFor(near, who, b.Locality)
		i := slices.IndexFunc(out.Localities, func(l ir.LocalityEndpoints) bool { return l.Locality == where })
		if i < 0 {
			out.Localities = append(out.Localities, ir.LocalityEndpoints{
				Locality: where, Endpoints: []ir.Endpoint{{Addr: b.Addr, Port: anyPort, Weight: 1}},
			})
			continue
		}
		out.Localities[i].Endpoints[0].Weight++
	}
	return out
}

// anyPort is that of what nobody calls.
const anyPort = 1
