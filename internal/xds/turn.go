// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// pump sends all responses that may go out now.
func (s *session) pump() error {
	if s.class == nil {
		return nil
	}
	var buffer [maxLanes + 2]string
	for _, typ := range s.plan(buffer[:0]) {
		r := s.next(typ)
		if r == nil {
			continue
		}
		if err := s.conn.send(r); err != nil {
			return err
		}
		s.hub.count(r)
	}
	s.hub.mu.RLock()
	batch := s.hub.batch
	s.mu.Lock()
	waiting := len(s.awaited) > 0 || s.heldBack()
	s.mu.Unlock()
	s.hub.mu.RUnlock()
	s.hold(waiting, batch)
	return nil
}

// plan appends the types that may have something to send, in order; none after
// nearly all acknowledgements.
func (s *session) plan(types []string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	due := false
	for _, l := range s.lanes {
		if l.due() {
			due = true
		} else if l.flight == nil {
			l.held.share(l.pages)
		}
	}
	if !due {
		return nil
	}
	for _, l := range s.lanes {
		types = append(types, l.table.typ)
	}
	// Removals of clusters and endpoints may have become possible by what the
	// later types turned out not to need: look at them once more.
	return append(types, ClusterType, EndpointType)
}

// due tells whether there may be something to send.
func (l *lane) due() bool {
	return l.flight == nil &&
		(l.greet || len(l.pending.marks) > 0 || l.scanning() || len(l.suspects) > 0 || len(l.strangers) > 0)
}

// itemsSpare is how much room for items a session keeps: most responses are of
// a name or two.
const itemsSpare = 4

// turn is the building of one response.
type turn struct {
	s    *session
	l    *lane
	kind turnKind
	// additions and removals of changes up to these batches may go.
	additions, removals uint64

	items       []item
	size        int
	first, last uint64
	adds        bool
	full        bool
	held        []mark
}

type turnKind uint8

const (
	turnNormal turnKind = iota
	// turnSuspects sends one group of suspects, whatever is held back.
	turnSuspects
)

// next takes the next response of a type, nil when there is nothing to send.
func (s *session) next(typ string) *response {
	s.hub.mu.RLock()
	defer s.hub.mu.RUnlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lane(typ)
	if l == nil || !l.due() || !s.class.defined {
		return nil
	}
	for len(l.suspects) > 0 {
		group := l.suspects[0]
		l.suspects = l.suspects[1:]
		t := &turn{s: s, l: l, items: s.items[:0], kind: turnSuspects, additions: never, removals: never, first: never}
		for _, id := range group {
			t.take(mark{id, s.hub.batch, s.hub.batch})
		}
		for _, m := range t.held {
			l.pending.add(m.id, m.first, m.last)
		}
		if len(t.items) > 0 {
			return s.launch(t)
		}
	}
	l.suspects = nil
	t := &turn{s: s, l: l, first: never, items: s.items[:0]}
	t.additions, t.removals = s.limits(l)
	t.deny()
	t.scan()
	t.merge()
	if len(t.items) == 0 && (!l.greet || l.scanning() || len(l.pending.marks) > 0) {
		return nil
	}
	return s.launch(t)
}

// deny answers for hosts that do not exist. One that has appeared meanwhile is
// taken as any other.
func (t *turn) deny() {
	strangers := t.l.strangers
	t.l.strangers = nil
	slices.Sort(strangers)
	strangers = slices.Compact(strangers)
	for i, id := range strangers {
		n := t.l.table.byID[id]
		switch {
		case n == nil:
			continue
		case t.s.class.effective(t.l.table, id) != nil:
			t.l.await(id, n.text)
			t.l.pending.add(id, t.s.hub.batch, t.s.hub.batch)
			continue
		}
		if !t.put(mark{id, t.s.hub.batch, t.s.hub.batch}, item{name: n, serial: serialAbsent}) {
			t.l.strangers = slices.Clone(strangers[i:])
			return
		}
	}
}

// scan takes names from the scan. When one is held back, the whole scan waits
// for the same batch, except that removals cannot come up here.
func (t *turn) scan() {
	l := t.l
	for l.scanning() && !t.full {
		m := mark{l.scan[l.scanned], l.scanBatch, l.scanBatch}
		if !t.take(m) {
			if !t.full {
				return
			}
			break
		}
		l.scanned++
	}
	if !l.scanning() {
		l.scan, l.scanned = nil, 0
	}
}

// merge takes the pending names. What does not fit or is held back stays.
func (t *turn) merge() {
	if t.full || len(t.l.pending.marks) == 0 {
		return
	}
	taken := slices.Clone(t.items)
	slices.SortFunc(taken, func(a, b item) int { return cmp.Compare(a.name.id, b.name.id) })
	var left []mark
	for _, m := range t.l.pending.merge() {
		if t.full {
			left = append(left, m)
			continue
		}
		if _, found := slices.BinarySearchFunc(taken, m.id, func(it item, id uint32) int { return cmp.Compare(it.name.id, id) }); found {
			// A name comes once in a response; the rest is seen to later.
			left = append(left, m)
			continue
		}
		if !t.take(m) {
			left = append(left, m)
		}
	}
	t.l.pending.keep(left)
}

// take looks at one name and adds it to the response when the client holds
// something else than its class has, or waits for an answer. It returns false
// when the name must stay pending.
func (t *turn) take(m mark) bool {
	l, s := t.l, t.s
	c := l.held.get(m.id)
	n := l.table.byID[m.id]
	if n == nil || !l.wants(c) {
		return true
	}
	v := s.effective(l, m.id)
	asked := l.asks[m.id]
	if v != nil && n.parent != "" && !c.asked() && asked == nil {
		switch s.routes[n.parent] {
		case routeUnknown:
			// All hosts are marked when the route configuration is taken.
			return true
		case routeDropped:
			v = nil
		}
	}
	if asked == nil {
		return t.compare(m, n, v)
	}
	it := item{name: n, serial: serialAbsent, asked: strings.Join(asked, " ")}
	if v != nil && l.refused[m.id] != v.serial {
		it.version, it.serial = v, v.serial
	}
	// Otherwise a request waits for what is gone, or what the client refused.
	if !t.put(m, it) {
		return false
	}
	delete(l.asks, m.id)
	return true
}

// compare adds a name when the client does not hold the version v.
func (t *turn) compare(m mark, n *name, v *version) bool {
	l := t.l
	c := l.held.get(m.id)
	it := item{name: n, version: v}
	switch {
	case v != nil:
		if c.serial() == v.serial || l.refused[m.id] == v.serial {
			return true
		}
		if m.last > t.additions {
			return t.wait(m)
		}
		it.serial = v.serial
		if l.table.typ == VirtualHostType && c.asked() {
			it.asked = n.text
		}
		if l.table.typ == RouteType && t.s.inDoubt(n.text, c) {
			it.own, it.serial = true, serialUnknown
		}
	case c.serial() == serialAbsent:
		return true
	case c.serial() == serialNone:
		if !c.asked() {
			return true
		}
		it.serial = serialAbsent
	case l.table.typ == ExtensionConfigType:
		return true // Without, what still uses it would answer all requests with an error.
	default:
		if m.last > t.removals {
			return t.wait(m)
		}
		it.serial = serialNone
		if l.table.typ == ClusterType && c.asked() {
			it.serial = serialAbsent
		}
	}
	return t.put(m, it)
}

func (t *turn) wait(m mark) bool {
	if t.kind == turnSuspects {
		t.held = append(t.held, m)
		return true
	}
	return false
}

func (t *turn) put(m mark, it item) bool {
	size := len(it.name.text) + 8
	if it.version != nil {
		size = it.version.size
	}
	// Envoy takes a secret that it refused before for one that it holds: sent again to
	// find out which one of many it was, it is acknowledged. So each goes alone.
	alone := t.l.table.typ == SecretType
	if t.kind == turnNormal && len(t.items) > 0 && (alone || t.size+size > t.s.hub.opts.MaxResponseBytes) {
		t.full = true
		return false
	}
	t.size += size
	if len(t.items) == itemsSpare {
		// More are likely to be thousands. Room for those is shared by all.
		if room, ok := t.s.hub.press.rooms.Get().(*[]item); ok {
			t.items = append((*room)[:0], t.items...)
		}
	}
	t.items = append(t.items, it)
	t.first, t.last = min(t.first, m.first), max(t.last, m.last)
	t.adds = t.adds || it.version != nil
	return true
}

// launch makes the response and notes that it is in flight.
func (s *session) launch(t *turn) *response {
	s.sent++
	r := s.hub.press.response(t.l.table, t.items)
	clear(t.items)
	if cap(t.items) <= itemsSpare {
		s.items = t.items[:0]
	} else {
		room := t.items // A variable of its own, or every turn would be on the heap.
		s.hub.press.rooms.Put(&room)
	}
	t.l.flight = &t.l.seat
	t.l.seat = flight{response: r, first: t.first, last: t.last, adds: t.adds, sent: s.sent, at: time.Now()}
	t.l.greet = false
	if t.l.table.typ == ClusterType {
		s.await(r.needs, t.first)
	}
	return r
}
