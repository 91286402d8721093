// SPDX-License-Identifier: Apache-2.0

package xds

import "time"

// limits gives the last batch of which additions, and the last of which
// removals of a lane may go out now.
//
//	clusters --> endpoints --> listeners, routes, hosts --> removals of
//	                                          endpoints <-- clusters
//
// Routes wait for the clusters that were published with them or before, and
// for those clusters' endpoints. Clusters are removed after the routes that
// were published with the removal or before are acknowledged.
func (s *session) limits(l *lane) (additions, removals uint64) {
	additions, removals = never, never
	switch typ := l.table.typ; {
	case isRouting(typ):
		additions = s.clustersReady()
		if typ == RouteType {
			removals = s.acknowledged(ListenerType)
		}
	case typ == ClusterType:
		removals = s.acknowledged(ListenerType, RouteType, VirtualHostType)
		if s.untold() {
			removals = 0
		}
	case typ == EndpointType:
		removals = min(s.acknowledged(ListenerType, RouteType, VirtualHostType), s.clustersGone())
	}
	return max(additions, s.forced), max(removals, s.forced)
}

// clustersReady is the last batch whose clusters the client has acknowledged
// together with their endpoints.
func (s *session) clustersReady() uint64 {
	l := s.lane(ClusterType)
	if l == nil {
		return never
	}
	if len(l.suspects) > 0 {
		return 0
	}
	first := l.outstanding(func(id uint32) bool { return s.effective(l, id) != nil }, false)
	if l.flight != nil && l.flight.adds {
		first = min(first, l.flight.first)
	}
	for _, a := range s.awaited {
		first = min(first, a.batch)
	}
	return before(first)
}

// acknowledged is the last batch of which the client has acknowledged all of
// the given types.
func (s *session) acknowledged(types ...string) uint64 {
	first := never
	for _, typ := range types {
		l := s.lane(typ)
		if l == nil {
			continue
		}
		if len(l.suspects) > 0 {
			return 0
		}
		first = min(first, l.outstanding(func(uint32) bool { return true }, true))
	}
	return before(first)
}

// clustersGone is the last batch whose removals of clusters the client has
// acknowledged.
func (s *session) clustersGone() uint64 {
	l := s.lane(ClusterType)
	if l == nil {
		return never
	}
	first := l.pending.earliest(func(id uint32) bool { return s.effective(l, id) == nil })
	if l.flight != nil {
		first = min(first, l.flight.first)
	}
	return before(first)
}

func before(batch uint64) uint64 {
	if batch == never || batch == 0 {
		return batch
	}
	return batch - 1
}

// await notes which endpoints clusters on their way need. A client that knows
// them is sent them again, right behind the clusters: Envoy warms a cluster
// that changed, waits for endpoints without asking for them, and does not
// acknowledge the cluster before it has them.
func (s *session) await(names []string, batch uint64) {
	if len(names) == 0 {
		return
	}
	s.awaited.add(names, batch, s.sent)
	l := s.lane(EndpointType)
	if l == nil {
		return
	}
	for _, text := range names {
		n := l.table.byText[text]
		if n == nil {
			continue
		}
		if c := l.held.get(n.id); l.wants(c) && c.serial() != serialNone {
			l.hold(n.id, c.forced())
			l.pending.add(n.id, s.hub.batch, s.hub.batch)
		}
	}
}

// arrived takes in that the client has endpoints. When they were sent after
// the cluster that needs them, the wait is over; else they are sent again.
func (s *session) arrived(l *lane, n *name, sent uint64) {
	group, _, ok := s.awaited.find(n.text)
	if !ok {
		return
	}
	if sent > s.awaited[group].since {
		s.awaited.drop(n.text)
		return
	}
	l.hold(n.id, l.held.get(n.id).forced())
	l.pending.add(n.id, s.hub.batch, s.hub.batch)
}

// hold keeps the timer running while anything is held back, so that a client
// that does not acknowledge cannot block what comes after.
func (s *session) hold(waiting bool, batch uint64) {
	switch {
	case waiting && !s.holding:
		s.holding, s.holdBatch = true, batch
		s.fired, s.stop = s.hub.opts.Clock.NewTimer(s.hub.opts.Hold)
		// The goroutine that waits for the timer may be another one.
		s.poke()
	case !waiting && s.holding:
		s.stop()
		s.holding, s.fired, s.stop = false, nil, nil
	}
}

// timer is what the session waits for, nil for nothing.
func (s *session) timer() <-chan time.Time {
	s.turn.Lock()
	defer s.turn.Unlock()
	return s.fired
}

// heldBack tells whether a lane without a response in flight has names left,
// which after all were looked at can only be because they wait for another type.
func (s *session) heldBack() bool {
	if !s.class.defined {
		return false
	}
	for _, l := range s.lanes {
		if l.flight == nil && (len(l.pending.marks) > 0 || l.scanning()) {
			return true
		}
	}
	return false
}

// release lets go what was held back when the timer started, unless that timer
// was stopped when it fired.
func (s *session) release(fired <-chan time.Time) {
	s.turn.Lock()
	defer s.turn.Unlock()
	if s.fired != fired {
		return
	}
	s.holding, s.fired, s.stop = false, nil, nil
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forced = max(s.forced, s.holdBatch)
	s.awaited.keep(func(a *await) bool { return a.batch > s.forced })
}
