// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"slices"
	"sync/atomic"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
)

// class is an overlay of layers and the sessions that see it. It is guarded
// by the hub's lock.
type class struct {
	key string
	// defined is false while the publisher has not described the class.
	defined bool
	// layers are ordered from the lowest to the highest.
	layers   []*layer
	sessions map[*session]struct{}

	// announced is what Events knows: true after ClassWanted. It is written
	// under the hub's events lock.
	announced atomic.Bool
	// node is the node of a session, for ClassWanted.
	node *core.Node

	lists map[*table]visible

	// scope is nil when the class sees all that its layers hold.
	scope *scope
	// own is the layer of hosts and clusters that exist for this class only, because its
	// clients asked for them; nil for a class that never asked.
	own *layer
	// over is the layer that the class has for as long as it has the scope.
	over *layer
	// addresses are the addresses that clients asked for and nobody has.
	addresses map[string]struct{}
	// overflowed is set when the class learned more than is worth a scope; it
	// has none from then on.
	overflowed bool
}

// visible is the sorted list of the names that a class sees, shared by the
// sessions that want all of them.
type visible struct {
	generation uint64
	ids        []uint32
}

func (c *class) has(l *layer) bool { return slices.Contains(c.layers, l) }

// effective is the version that the class sees under a name, nil for none.
func (c *class) effective(t *table, id uint32) *version {
	if !c.sees(t, id) {
		return nil
	}
	return c.published(t, id)
}

// published is the version that the layers have under a name, in or out of the
// scope of the class.
func (c *class) published(t *table, id uint32) *version {
	for i := len(c.layers) - 1; i >= 0; i-- {
		s := c.layers[i].shelves[t]
		if s == nil {
			continue
		}
		if e := s.entries[id]; e != nil {
			if v := e.serving(); v != nil {
				return v
			}
		}
	}
	return nil
}

// visible returns the ids of all names that the class sees, sorted. The
// caller holds the hub's lock for writing, because the list is cached.
func (c *class) visible(t *table) []uint32 {
	var generation uint64
	for _, l := range c.layers {
		generation += l.generation
	}
	if c.scope != nil {
		generation += c.scope.revision
	}
	if v, ok := c.lists[t]; ok && v.generation == generation {
		return v.ids
	}
	var ids []uint32
	for _, l := range c.layers {
		if s := l.shelves[t]; s != nil {
			for id := range s.entries {
				if c.sees(t, id) {
					ids = append(ids, id)
				}
			}
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	if c.lists == nil {
		c.lists = map[*table]visible{}
	}
	c.lists[t] = visible{generation: generation, ids: ids}
	return ids
}
