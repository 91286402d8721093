// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Progress is how far what an owner's resources are now has come.
type Progress struct {
	// Proxies is how many streams want any of the resources and see the owner's
	// version of it; Current is how many of them hold all those versions.
	Proxies, Current int
	// Laggard is the node id of one that does not; empty when all do.
	Laggard string
}

// tally is the resources of one owner. It is guarded by the hub's lock, apart from
// what says so.
type tally struct {
	owner   string
	entries map[*entry]struct{}
	// changes counts versions that came and went.
	changes uint64
	moves   *moves
	// moved is set while the owner waits in moves; any goroutine may look.
	moved atomic.Bool
}

// moves is the owners about which something changed since somebody asked. Each is
// in it once, however many proxies answer.
type moves struct {
	mu     sync.Mutex
	owners []*tally
	wake   chan struct{}
}

func newMoves() *moves { return &moves{wake: make(chan struct{}, 1)} }

func (f *tally) note() {
	if f.moved.Swap(true) {
		return
	}
	m := f.moves
	m.mu.Lock()
	m.owners = append(m.owners, f)
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default: // a wake-up is on its way already
	}
}

// Moving receives when Moved has something to tell. One receive may stand for many.
func (h *Hub) Moving() <-chan struct{} { return h.moves.wake }

// Moved returns the owners whose resources changed, or of which a proxy took or let
// go of a version, since the last call; sorted.
func (h *Hub) Moved() []string {
	h.moves.mu.Lock()
	moved := h.moves.owners
	h.moves.owners = nil
	h.moves.mu.Unlock()
	out := make([]string, 0, len(moved))
	for _, f := range moved {
		f.moved.Store(false)
		out = append(out, f.owner)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Settled tells whether every proxy that wants any of an owner's resources holds what
// they are now. changes differs after each change of the resources. It looks at
// counts that are kept as proxies answer, not at the proxies.
func (h *Hub) Settled(owner string) (settled bool, changes uint64) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	f := h.tallies[owner]
	if f == nil {
		return true, 0
	}
	for e := range f.entries {
		wanting := 0
		h.wanting(e, func(*session) { wanting++ })
		if int64(wanting) > e.want.holders.Load() {
			return false, f.changes
		}
	}
	return true, f.changes
}

// Progress counts the proxies one by one: ask it for what is about to be written.
func (h *Hub) Progress(owner string) Progress {
	h.mu.RLock()
	defer h.mu.RUnlock()
	var out Progress
	f := h.tallies[owner]
	if f == nil {
		return out
	}
	current := map[*session]bool{}
	for e := range f.entries {
		h.wanting(e, func(s *session) {
			held, seen := current[s]
			current[s] = (held || !seen) && s.holds(e.want)
		})
	}
	out.Proxies = len(current)
	for s, ok := range current {
		switch {
		case ok:
			out.Current++
		case out.Laggard == "" || s.node < out.Laggard:
			out.Laggard = s.node
		}
	}
	return out
}

// wanting calls f for the sessions that want a name and see this entry of it. A
// refused version is wanted, too: proxies that are served the one before it do not
// hold what the owner asks for.
func (h *Hub) wanting(e *entry, f func(*session)) {
	n := e.want.name
	visible := map[*class]bool{}
	see := func(s *session) bool {
		if n.hidden && !n.asked.has(s.seat) && !s.class.sees(e.shelf.table, n.id) {
			return false
		}
		if n.placements == 1 && s.class.scope == nil {
			return true
		}
		ok, known := visible[s.class]
		if !known {
			ok = (n.hidden || s.class.sees(e.shelf.table, n.id)) && s.class.top(e.shelf.table, n.id) == e
			visible[s.class] = ok
		}
		return ok
	}
	for _, all := range []map[*session]struct{}{e.shelf.wild, e.shelf.narrow} {
		for s := range all {
			if see(s) {
				f(s)
			}
		}
	}
	n.asked.each(func(seat int) {
		s := h.seats[seat]
		_, wild := e.shelf.wild[s]
		if _, narrow := e.shelf.narrow[s]; !wild && !narrow && s.class.has(e.shelf.layer) && see(s) {
			f(s)
		}
	})
}

// top is the entry of the highest layer that has the name.
func (c *class) top(t *table, id uint32) *entry {
	for i := len(c.layers) - 1; i >= 0; i-- {
		if s := c.layers[i].shelves[t]; s != nil && s.entries[id] != nil {
			return s.entries[id]
		}
	}
	return nil
}

func (s *session) holds(v *version) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lane(v.res.Type)
	return l != nil && l.held.get(v.name.id).serial() == v.serial
}

// enroll counts from now on who holds the version; the hub's lock is held.
func (h *Hub) enroll(v *version) {
	if len(v.res.Owners) == 0 {
		return
	}
	for _, owner := range v.res.Owners {
		f := h.tallies[owner]
		if f == nil {
			// Counts begin where no earlier life of the owner can have ended.
			f = &tally{owner: owner, entries: map[*entry]struct{}{}, moves: h.moves, changes: h.batch << 16}
			h.tallies[owner] = f
		}
		f.entries[v.entry] = struct{}{}
		f.changes++
		f.note()
		v.tallies = append(v.tallies, f)
	}
	v.name.tallied = append(v.name.tallied, v)
}

// dismiss ends the counting for a version that is not wanted any more.
func (h *Hub) dismiss(v *version) {
	v.name.tallied = slices.DeleteFunc(v.name.tallied, func(x *version) bool { return x == v })
	for _, f := range v.tallies {
		delete(f.entries, v.entry)
		f.changes++
		f.note()
	}
}

// settleTallies forgets the owners of versions that went, unless they have others.
func (h *Hub) settleTallies(gone []*version) {
	for _, v := range gone {
		for _, f := range v.tallies {
			if len(f.entries) == 0 && h.tallies[f.owner] == f {
				delete(h.tallies, f.owner)
			}
		}
	}
}

// hold notes what the client holds of a name, here and in the tallies of its
// versions.
func (l *lane) hold(id uint32, c cell) {
	if old := l.held.get(id).serial(); old != c.serial() {
		if n := l.table.byID[id]; n != nil {
			n.moved(old, c.serial())
		}
	}
	l.held.set(l.pages, id, c)
}

func (n *name) moved(from, to uint32) {
	for _, v := range n.tallied {
		switch v.serial {
		case from:
			v.holders.Add(-1)
		case to:
			v.holders.Add(1)
		default:
			continue
		}
		for _, f := range v.tallies {
			f.note()
		}
	}
}
