// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"sync/atomic"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/types/known/anypb"
)

// version is one published version of a name in a layer.
type version struct {
	name   *name
	res    *Resource
	serial uint32
	entry  *entry
	// wire is what goes into responses, built once.
	wire *discovery.Resource
	size int
	// accepted is set once any proxy acknowledged the version.
	accepted atomic.Bool
	// refused is set when a proxy refused the version before any accepted it.
	refused atomic.Bool
	// tallies are of the owners that are told who holds the version, and holders is
	// how many do; see progress.go.
	tallies []*tally
	holders atomic.Int64
}

// entry is a name's place in a layer. It is guarded by the hub's lock.
type entry struct {
	shelf *shelf
	// want is what the publisher set.
	want *version
	// good is the last version before want that was fit to serve; kept until
	// want has been accepted.
	good *version
}

// serving is the version that proxies are sent, nil when there is none fit.
func (e *entry) serving() *version {
	if !e.want.refused.Load() {
		return e.want
	}
	return e.good
}

// shelf holds the resources of one type in one layer.
type shelf struct {
	layer   *layer
	table   *table
	entries map[uint32]*entry
	// wild are the sessions of classes without scope that see the layer and
	// want all of the type.
	wild map[*session]struct{}
	// narrow are those of classes with a scope.
	narrow map[*session]struct{}
}

// layer is a named set of resources. It is guarded by the hub's lock.
type layer struct {
	key     Layer
	shelves map[*table]*shelf
	// classes counts the classes that the layer belongs to.
	classes int
	// scoped are the classes with a scope among them.
	scoped map[*class]struct{}
	// generation changes whenever a name enters or leaves the layer.
	generation uint64
}

func (l *layer) shelf(t *table) *shelf {
	s := l.shelves[t]
	if s == nil {
		s = &shelf{layer: l, table: t, entries: map[uint32]*entry{}, wild: map[*session]struct{}{}, narrow: map[*session]struct{}{}}
		l.shelves[t] = s
	}
	return s
}

func (l *layer) unused() bool {
	if l.classes > 0 {
		return false
	}
	for _, s := range l.shelves {
		if len(s.entries) > 0 {
			return false
		}
	}
	return true
}

// set places a resource. It returns its new version and the one that it replaces;
// no new one when nothing changed.
func (sh *shelf) set(r *Resource) (set, old *version) {
	n := sh.table.intern(r.Name)
	n.key, n.part, n.leads, n.hidden = r.Key, r.Part, r.Leads, r.Hidden
	e := sh.entries[n.id]
	if e != nil && e.want.res.Version == r.Version {
		return nil, nil
	}
	n.serial++
	v := &version{name: n, res: r, serial: n.serial}
	v.wire = wireOf(r)
	// Two bytes more than the parts: the tags around them, near enough.
	v.size = len(r.Body) + len(r.Name) + len(r.Version) + len(r.Type) + 16
	if e == nil {
		e = &entry{shelf: sh}
		sh.entries[n.id] = e
		n.placements++
		sh.layer.generation++
	} else if old = e.want; old.accepted.Load() || e.good == nil && !old.refused.Load() {
		e.good = old
	}
	if e.want != nil {
		sh.table.unalias(n, e.want.res)
	}
	v.entry, e.want = e, v
	sh.table.alias(n, r)
	return v, old
}

// remove takes a name off the shelf and returns its version, nil when there is none.
func (sh *shelf) remove(text string) (*name, *version) {
	n := sh.table.byText[text]
	if n == nil || sh.entries[n.id] == nil {
		return nil, nil
	}
	old := sh.entries[n.id].want
	sh.table.unalias(n, old.res)
	delete(sh.entries, n.id)
	sh.layer.generation++
	n.placements--
	sh.table.release(n)
	return n, old
}

func wireOf(r *Resource) *discovery.Resource {
	return &discovery.Resource{
		Name:     r.Name,
		Version:  r.Version,
		Resource: &anypb.Any{TypeUrl: r.Type, Value: r.Body},
	}
}
