// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"errors"
	"runtime"
	"sync"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
)

// Hub holds what was published and serves it to the streams that are open.
// All methods may be called from any goroutine; Publish is meant to be called
// by one publisher, once per commit.
type Hub struct {
	opts  Options
	press press
	pages pages
	rooms rooms
	stats counters
	done  chan struct{}
	end   sync.Once

	// mu guards the tables, layers and classes. It is never held while
	// anything is sent. Lock order: mu, then a session's mu.
	mu      sync.RWMutex
	batch   uint64
	tables  map[string]*table
	layers  map[Layer]*layer
	classes map[string]*class
	// followers are the classes with a scope by what they see.
	followers map[topic]map[*class]struct{}
	seats     []*session
	vacant    []int
	nodes     map[string][]*session // the sessions of each node
	doubts    map[string][]string   // about clients that are away, by node; see doubt.go
	// shifts and spilt are what flush has to do after the present change.
	shifts  []shift
	spilt   []*class
	taught  map[*class]struct{} // learned something since Learned was called
	tallies map[string]*tally   // by owner
	// touched are the sessions to wake after the present change.
	touched []*session
	// swept is how long the graveyards were after the last sweep.
	swept int

	// events serializes ClassWanted and ClassIdle.
	events sync.Mutex
	moves  *moves
}

// maxTables bounds the resource types of a hub, because clients name types.
const maxTables = 64

// NewHub returns a hub without classes: streams are accepted and wait for the
// first Publish that defines their class.
func NewHub(opts Options) (*Hub, error) {
	if opts.Classify == nil {
		return nil, errors.New("xds hub needs Options.Classify to tell classes of proxies apart")
	}
	opts.complete()
	return &Hub{
		opts:    opts,
		press:   press{noCluster: opts.NoCluster},
		rooms:   newRooms(2 * runtime.GOMAXPROCS(0)),
		done:    make(chan struct{}),
		tables:  map[string]*table{},
		layers:  map[Layer]*layer{},
		classes: map[string]*class{},
		nodes:   map[string][]*session{},
		doubts:  map[string][]string{},

		followers: map[topic]map[*class]struct{}{},
		taught:    map[*class]struct{}{},
		tallies:   map[string]*tally{},
		moves:     newMoves(),
	}, nil
}

// Close ends all streams; clients connect elsewhere and keep what they hold.
func (h *Hub) Close() { h.end.Do(func() { close(h.done) }) }

// table returns the table of a type, nil when there are too many types.
func (h *Hub) table(typ string) *table {
	t := h.tables[typ]
	if t == nil && len(h.tables) < maxTables {
		t = newTable(typ)
		h.tables[typ] = t
	}
	return t
}

func (h *Hub) layer(key Layer) *layer {
	l := h.layers[key]
	if l == nil {
		l = &layer{key: key, shelves: map[*table]*shelf{}}
		h.layers[key] = l
	}
	return l
}

func (h *Hub) class(key string) *class {
	c := h.classes[key]
	if c == nil {
		c = &class{key: key, sessions: map[*session]struct{}{}}
		h.classes[key] = c
	}
	return c
}

// join seats a session in its class.
func (h *Hub) join(s *session, key string, node *core.Node) {
	h.mu.Lock()
	c := h.class(key)
	if len(c.sessions) == 0 {
		c.node = node
	}
	c.sessions[s] = struct{}{}
	s.class = c
	if last := len(h.vacant) - 1; last >= 0 {
		s.seat, h.vacant = h.vacant[last], h.vacant[:last]
		h.seats[s.seat] = s
	} else {
		s.seat = len(h.seats)
		h.seats = append(h.seats, s)
	}
	h.recall(s)
	h.mu.Unlock()
	h.announce(c)
}

// leave forgets a session.
func (h *Hub) leave(s *session) {
	h.mu.Lock()
	s.mu.Lock()
	h.remember(s)
	for _, l := range s.lanes {
		s.class.delist(s, l)
		l.held.each(func(id uint32, c cell) {
			n := l.table.byID[id]
			if n != nil {
				n.moved(c.serial(), serialNone)
			}
			if c.asked() {
				n.asked.remove(s.seat)
				l.table.release(n)
			}
		})
		l.held.release(l.pages)
	}
	s.lanes = nil
	s.mu.Unlock()
	delete(s.class.sessions, s)
	h.seats[s.seat] = nil
	h.vacant = append(h.vacant, s.seat)
	h.sweep()
	h.mu.Unlock()
	h.announce(s.class)
}

// announce tells of a class that is wanted or idle, in the order in which
// that became true, and forgets a class that nobody needs.
func (h *Hub) announce(c *class) {
	h.events.Lock()
	defer h.events.Unlock()
	h.mu.RLock()
	wanted, node := len(c.sessions) > 0, c.node
	h.mu.RUnlock()
	if c.announced.Load() != wanted {
		c.announced.Store(wanted)
		if wanted {
			h.opts.Events.ClassWanted(c.key, node)
		} else {
			h.opts.Events.ClassIdle(c.key)
		}
	}
	h.mu.Lock()
	h.reap(c)
	h.mu.Unlock()
}

// reap forgets a class without definition and sessions.
func (h *Hub) reap(c *class) {
	if !c.defined && len(c.sessions) == 0 && !c.announced.Load() && h.classes[c.key] == c {
		delete(h.classes, c.key)
		delete(h.taught, c)
	}
}

// accept notes that proxies took versions that none had taken before.
func (h *Hub) accept(versions []*version) {
	if len(versions) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, v := range versions {
		first := v.accepted.CompareAndSwap(false, true)
		if v.entry.want != v || !first {
			continue
		}
		v.entry.good = nil
		if v.refused.CompareAndSwap(true, false) {
			h.touch(v.entry.shelf, v.name)
		}
	}
	h.wake()
}

// withhold keeps a refused version from all proxies, unless some proxy took
// it before.
func (h *Hub) withhold(n NACK) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	v := n.version
	if v.accepted.Load() {
		return false
	}
	v.refused.Store(true)
	if v.entry.good == v {
		v.entry.good = nil
	}
	h.touch(v.entry.shelf, v.name)
	h.wake()
	return true
}

// touch marks a name at the sessions that see the layer and want the name.
func (h *Hub) touch(sh *shelf, n *name) int {
	marked := 0
	for s := range sh.wild {
		if n.hidden {
			break
		}
		h.mark(s, sh.table, n.id)
		marked++
	}
	n.asked.each(func(seat int) {
		s := h.seats[seat]
		if _, wild := sh.wild[s]; wild && !n.hidden || !s.class.has(sh.layer) {
			return
		}
		h.mark(s, sh.table, n.id)
		marked++
	})
	if n.key != "" {
		h.eachViewer(sh, n, func(c *class) { marked += h.stir(c, sh.table, n) })
		sh.eachKeeper(n, func(s *session) {
			h.mark(s, sh.table, n.id)
			marked++
		})
		return marked
	}
	for c := range sh.layer.scoped {
		h.heed(c, sh.table, n)
	}
	for s := range sh.narrow {
		h.mark(s, sh.table, n.id)
		marked++
	}
	return marked
}

func (h *Hub) mark(s *session, t *table, id uint32) {
	s.mu.Lock()
	if l := s.lane(t.typ); l != nil {
		l.pending.add(id, h.batch, h.batch)
		h.later(s)
	}
	s.mu.Unlock()
}

// later wakes a session once the present change is complete.
func (h *Hub) later(s *session) {
	if !s.touched {
		s.touched = true
		h.touched = append(h.touched, s)
	}
}

func (h *Hub) wake() {
	h.flush()
	for _, s := range h.touched {
		s.touched = false
		s.poke()
	}
	clear(h.touched)
	h.touched = h.touched[:0]
}

// graveyardFloor is the number of dead names that is not worth a sweep while
// streams are open.
const graveyardFloor = 256

// sweep frees names that nobody has any business with.
func (h *Hub) sweep() {
	dead, open := 0, len(h.seats) > len(h.vacant)
	for _, t := range h.tables {
		dead += len(t.graveyard)
	}
	if dead == 0 || open && dead < 2*h.swept+graveyardFloor {
		return
	}
	h.swept = 0
	for _, t := range h.tables {
		if len(t.graveyard) == 0 {
			continue
		}
		alive := map[uint32]struct{}{}
		for _, s := range h.seats {
			if s != nil {
				s.alive(t, alive)
			}
		}
		t.sweep(func(id uint32) bool { _, ok := alive[id]; return ok })
		h.swept += len(t.graveyard)
	}
}

// alive adds the dead names that the session must still tell its client of.
func (s *session) alive(t *table, ids map[uint32]struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lane(t.typ)
	if l == nil {
		return
	}
	for _, n := range t.graveyard {
		if l.held.get(n.id) != 0 {
			ids[n.id] = struct{}{}
		}
	}
	for _, id := range l.strangers {
		ids[id] = struct{}{}
	}
	for id := range l.asks {
		ids[id] = struct{}{}
	}
	if l.flight != nil {
		for _, it := range l.flight.items {
			ids[it.name.id] = struct{}{}
		}
	}
}
