// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"slices"
	"strings"
)

// Virtual hosts and their route configurations.
//
// Envoy drops hosts that come before their route configuration, and yet
// counts them as held, also in what it claims when it connects again. A route
// configuration that it gets later asks for nothing, so its listener would
// wait for hosts that the server believes to be there. Therefore
//
//   - hosts follow the ACK of their route configuration, always;
//   - when a client gets a route configuration whose hosts it may count as
//     held, all its hosts are sent again after the ACK;
//   - until those hosts are acknowledged, the version of the route
//     configuration carries a mark. A client that is cut off in between claims
//     the marked version when it is back, and the work is done again.

// unsettled marks the version of a route configuration whose hosts the client
// may count as held although it dropped them.
const unsettled = "+"

func (s *session) setRoute(text string, state routeState) {
	if s.routes == nil {
		s.routes = map[string]routeState{}
	}
	s.routes[strings.Clone(text)] = state
}

// claimRoute takes in that the client says to hold a route configuration.
func (s *session) claimRoute(text, version string) {
	if strings.HasSuffix(version, unsettled) || slices.Contains(s.recalled, text) {
		s.setRoute(text, routeSettling)
	} else {
		s.setRoute(text, routeClaimed)
	}
}

// doubtful tells whether the client may have dropped a host that it claims.
func (s *session) doubtful(n *name) bool {
	if n.parent == "" {
		return false
	}
	state := s.routes[n.parent]
	return state == routeAcked || state == routeSettling
}

// inDoubt tells whether a route configuration must be sent as unsettled: the
// client does not hold it but may count hosts of it as held.
func (s *session) inDoubt(text string, c cell) bool {
	if s.routes[text] == routeSettling {
		return true
	}
	if c.serial() > serialAbsent {
		return false
	}
	l := s.lane(VirtualHostType)
	if l == nil {
		return s.claimed
	}
	for n := range l.table.children[text] {
		if l.held.get(n.id).serial() > serialAbsent || l.flight != nil && l.flight.has(n) {
			return true
		}
	}
	return false
}

// dropRoute notes that the client has no such route configuration any more,
// and lets its hosts be removed.
func (s *session) dropRoute(h *Hub, text string) {
	s.setRoute(text, routeDropped)
	l := s.lane(VirtualHostType)
	if l == nil {
		return
	}
	for n := range l.table.children[text] {
		l.pending.add(n.id, h.batch, h.batch)
	}
}

// askRoute notes that the client asks for a route configuration, maybe again: one whose
// listener goes while another comes that needs the same asks once more and never says
// that it dropped what it had. Its hosts wait until it has the route configuration.
func (s *session) askRoute(text string, c cell) cell {
	if _, known := s.routes[text]; known {
		s.setRoute(text, routeUnknown)
		return c.with(serialNone)
	}
	return c
}

// routeTaken lets the hosts of a route configuration follow it.
func (s *session) routeTaken(it item) {
	text, state := it.name.text, routeAcked
	before, known := s.routes[text]
	switch {
	case it.own || known && before == routeUnknown:
		state = routeSettling
	case before == routeAcked || before == routeClaimed:
		return
	}
	s.setRoute(text, state)
	l := s.lane(VirtualHostType)
	if l == nil {
		return
	}
	if l.flight != nil && (before == routeUnknown || before == routeDropped) {
		l.flight.avoid(text)
	}
	for n := range l.table.children[text] {
		if c := l.held.get(n.id); l.wants(c) {
			l.hold(n.id, c.forced())
			l.pending.add(n.id, s.hub.batch, s.hub.batch)
		}
	}
	s.settle()
}

// avoid notes that an acknowledgement of the response says nothing of the hosts
// of a route configuration.
func (f *flight) avoid(routes string) {
	if f.void == nil {
		f.void = map[string]struct{}{}
	}
	f.void[routes] = struct{}{}
}

// settle finishes the route configurations whose hosts have all arrived: they
// are sent once more under their true version.
func (s *session) settle() {
	routes, hosts := s.lane(RouteType), s.lane(VirtualHostType)
	if routes == nil || hosts == nil {
		return
	}
	for text, state := range s.routes {
		if state != routeSettling || !s.hostsArrived(hosts, text) {
			continue
		}
		s.setRoute(text, routeAcked)
		if n := routes.table.byText[text]; n != nil {
			routes.pending.add(n.id, s.hub.batch, s.hub.batch)
		}
	}
}

// hostsArrived tells whether the client holds every host that it should.
func (s *session) hostsArrived(l *lane, text string) bool {
	for n := range l.table.children[text] {
		c := l.held.get(n.id)
		if !l.wants(c) {
			continue
		}
		v := s.class.effective(l.table, n.id)
		switch {
		case v == nil && c.serial() > serialAbsent:
			return false
		case v != nil && c.serial() != v.serial && l.refused[n.id] != v.serial:
			return false
		}
	}
	return true
}
