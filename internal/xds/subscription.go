// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const wildcard = "*"

// maxNameBytes bounds one resource name of a request.
const maxNameBytes = 1 << 10

// subscribe takes the subscriptions of a request into the session.
func (h *Hub) subscribe(s *session, req *request) error {
	s.mu.Lock()
	l := s.lane(req.typ)
	s.mu.Unlock()
	if l != nil && len(req.subscribe) == 0 && len(req.unsubscribe) == 0 {
		return nil
	}

	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.wake()
	// Requests can name what does not exist, so they make dead names, too.
	defer h.sweep()
	return h.enter(s, l, req)
}

func (h *Hub) enter(s *session, l *lane, req *request) error {
	typ := req.typ
	s.mu.Lock()
	defer s.mu.Unlock()
	first := l == nil
	if first {
		if len(s.lanes) == maxLanes {
			return status.Errorf(codes.ResourceExhausted, "a stream may ask for %d types", maxLanes)
		}
		t := h.table(typ)
		if t == nil {
			return status.Errorf(codes.InvalidArgument, "type %.128q is not served", typ)
		}
		l = s.addLane(t)
		if err := h.claim(s, l, req.claims); err != nil {
			return err
		}
		if typ == RouteType {
			s.recalled = nil // The states say it now, and what is not claimed is not held.
		}
		if len(req.subscribe) == 0 && legacyWildcard(typ) {
			h.widen(s, l)
		}
	}
	if err := h.bound(s, l, req); err != nil {
		return err
	}
	req.unsubscribe.each(func(text []byte) {
		if string(text) == wildcard {
			h.narrow(s, l)
		} else {
			h.forget(s, l, text)
		}
	})
	if req.subscribe.has(wildcard) {
		h.widen(s, l)
	}
	req.subscribe.each(func(text []byte) {
		if string(text) != wildcard {
			h.ask(s, l, text, first)
		}
	})
	if s.class.defined {
		h.consider(s, l, first)
	}
	return nil
}

func (h *Hub) bound(s *session, l *lane, req *request) error {
	asked := req.subscribe.count()
	for _, other := range s.lanes {
		asked += other.asked
	}
	if asked > h.opts.MaxNames {
		return status.Errorf(codes.ResourceExhausted, "%d names asked for on one stream, the last of type %s, more than the allowed %d", asked, l.table.typ, h.opts.MaxNames)
	}
	fit := true
	req.subscribe.each(func(text []byte) { fit = fit && len(text) > 0 && len(text) <= maxNameBytes })
	if !fit {
		return status.Errorf(codes.InvalidArgument, "a resource name of type %s is empty or longer than %d bytes", l.table.typ, maxNameBytes)
	}
	return nil
}

// claim notes the versions that the client says to hold. They are compared
// when the class is known.
func (h *Hub) claim(s *session, l *lane, c claims) error {
	if len(c) == 0 {
		return nil
	}
	if n := c.count(); n > h.opts.MaxNames {
		return status.Errorf(codes.ResourceExhausted, "%d held names of type %s on one stream, more than the allowed %d", n, l.table.typ, h.opts.MaxNames)
	}
	s.claimed = true
	if l.claims = c; !s.class.defined {
		l.claims = slices.Clone(c) // They must outlive the request.
	}
	if l.table.typ == RouteType {
		c.each(func(text, version []byte) { s.claimRoute(string(text), string(version)) })
	}
	return nil
}

// compareClaims turns claims into cells: equal versions need not be sent.
func (h *Hub) compareClaims(s *session, l *lane) {
	all, disowned := l.claims, l.disowned
	l.claims, l.disowned = nil, nil
	all.each(func(text, version []byte) {
		if len(text) == 0 || len(text) > maxNameBytes {
			return
		}
		if _, ok := disowned[string(text)]; !ok {
			h.compareClaim(s, l, text, version)
		}
	})
}

func (h *Hub) compareClaim(s *session, l *lane, text, version []byte) {
	n := l.table.internBytes(text)
	c := l.held.get(n.id)
	e := s.effective(l, n.id)
	if !l.wants(c) || e == nil && string(version) == absentVersion {
		return
	}
	if e == nil {
		// Out of scope, so it is removed, unless the class learns of it first.
		e = s.class.published(l.table, n.id)
		l.pending.add(n.id, h.batch, h.batch)
	}
	serial := serialUnknown
	// A cluster that changed at once after the reconnect waits for endpoints,
	// although the client claims to hold them.
	_, _, awaited := s.awaited.find(n.text)
	awaited = awaited && l.table.typ == EndpointType
	if e != nil && e.res.Version == string(version) && !s.doubtful(n) && !awaited {
		serial = e.serial
	}
	l.hold(n.id, c.with(serial))
	if serial == serialUnknown {
		l.pending.add(n.id, h.batch, h.batch)
	}
}

// widen subscribes the lane to all resources of its type.
func (h *Hub) widen(s *session, l *lane) {
	if l.wild {
		return
	}
	l.wild = true
	l.greet = len(l.claims) == 0 && (l.table.typ == ClusterType || l.table.typ == ListenerType)
	s.class.enlist(s, l)
	l.startScan(s.class.visible(l.table), h.batch)
}

// narrow ends the subscription to all resources; names that were asked for
// explicitly stay.
func (h *Hub) narrow(s *session, l *lane) {
	if !l.wild {
		return
	}
	l.wild = false
	s.class.delist(s, l)
	l.startScan(nil, h.batch)
	l.held.each(func(id uint32, c cell) {
		if !c.asked() {
			l.hold(id, 0)
		}
	})
}

// ask subscribes to one name. A client that asks again for what it was sent
// is sent it again.
func (h *Hub) ask(s *session, l *lane, text []byte, first bool) {
	if l.table.typ == VirtualHostType && l.wild {
		l.questions = append(l.questions, string(text))
		return
	}
	n := l.table.internBytes(text)
	c := l.held.get(n.id)
	if !c.asked() {
		c |= askedBit
		l.asked++
		n.asked.add(s.seat)
	}
	if !first {
		c = c.forced()
		l.disown(n.text)
		if l.table.typ == RouteType {
			c = s.askRoute(n.text, c)
		}
	}
	l.hold(n.id, c)
	l.pending.add(n.id, h.batch, h.batch)
}

// forced is the cell after which the name is sent again in any case.
func (c cell) forced() cell {
	if c.serial() > serialAbsent {
		return c.with(serialUnknown)
	}
	return c.with(serialNone)
}

// forget ends the subscription to one name.
func (h *Hub) forget(s *session, l *lane, text []byte) {
	n := l.table.byText[string(text)]
	if n == nil {
		return
	}
	c := l.held.get(n.id)
	if !c.asked() {
		return
	}
	l.asked--
	l.disown(n.text)
	n.asked.remove(s.seat)
	l.table.release(n)
	if l.table.typ == RouteType {
		s.dropRoute(h, n.text)
	}
	if l.wild {
		// The client may have dropped it, and still wants all there is.
		c = (c &^ askedBit).forced()
		if l.claims != nil {
			// What it claims was not looked at yet, and this name of it never will be.
			c = c.with(serialUnknown)
		}
		l.hold(n.id, c)
		l.pending.add(n.id, h.batch, h.batch)
		return
	}
	l.hold(n.id, 0)
	delete(l.refused, n.id)
}
