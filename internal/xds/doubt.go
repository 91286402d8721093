// SPDX-License-Identifier: Apache-2.0

package xds

import "slices"

// Doubts about clients that were cut off.
//
// A client may drop a route configuration and ask for it again while an update of it
// is on its way. It takes that update, and its hosts have to follow; should the stream
// end before they do, what it claims when it is back looks whole. So the hub remembers
// of which route configurations a client that left may lack hosts. Another replica, or
// a hub that starts at that moment, cannot know.

// maxDoubts bounds of how many clients that are away doubts are kept.
const maxDoubts = 1 << 10

// doubts are the route configurations of which the client may count hosts as held that
// it dropped. The session's lock is held.
func (s *session) doubts() []string {
	out := slices.Clone(s.recalled)
	for text, state := range s.routes {
		if state == routeUnknown || state == routeSettling {
			out = append(out, text)
		}
	}
	if l := s.lane(RouteType); l != nil && l.flight != nil {
		for _, it := range l.flight.items {
			if it.version != nil {
				out = append(out, it.name.text)
			}
		}
	}
	return out
}

// remember keeps the doubts about a client that leaves. Streams of one client may end in
// another order than they began in, so it is not asked whether the client is back. The
// hub's lock and the session's are held.
func (h *Hub) remember(s *session) {
	if rest := slices.DeleteFunc(h.nodes[s.node], func(o *session) bool { return o == s }); len(rest) > 0 {
		h.nodes[s.node] = rest
	} else {
		delete(h.nodes, s.node)
	}
	all := append(s.doubts(), h.doubts[s.node]...)
	if len(all) == 0 {
		return
	}
	if len(h.doubts) >= maxDoubts {
		for other := range h.doubts {
			delete(h.doubts, other)
			break
		}
	}
	slices.Sort(all)
	h.doubts[s.node] = slices.Compact(all)
}

// recall tells a session of the doubts about its client's other streams: they have ended,
// whether that was noticed or not. The hub's lock is held.
func (h *Hub) recall(s *session) {
	s.recalled = h.doubts[s.node]
	delete(h.doubts, s.node)
	for _, other := range h.nodes[s.node] {
		other.mu.Lock()
		s.recalled = append(s.recalled, other.doubts()...)
		other.mu.Unlock()
	}
	slices.Sort(s.recalled)
	s.recalled = slices.Compact(s.recalled)
	h.nodes[s.node] = append(h.nodes[s.node], s)
}
