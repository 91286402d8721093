// SPDX-License-Identifier: Apache-2.0

package xds

import "strings"

// answer takes in a client's ACK or NACK of a response.
func (s *session) answer(typ string, nonce []byte, message string, refused bool) {
	var settled []*version
	var rejected []NACK
	func() {
		s.hub.mu.RLock()
		defer s.hub.mu.RUnlock()
		s.mu.Lock()
		defer s.mu.Unlock()
		l := s.lane(typ)
		// Another nonce answers a response of another stream, or none.
		if l == nil || l.flight == nil || l.flight.nonce != string(nonce) {
			return
		}
		f := l.flight
		l.flight = nil
		if refused {
			rejected = s.refused(l, f, message)
		} else {
			settled = s.acked(l, f)
		}
		*f = flight{} // Nobody else may hold the response any more.
	}()
	if refused {
		s.hub.stats.nacks.Add(1)
	}
	s.hub.accept(settled)
	for _, n := range rejected {
		n.Withheld = s.hub.withhold(n)
		s.hub.opts.Log.Info(msgRejected, keyClass, n.Class, keyNode, n.NodeID, keyType, n.Type, keyName, n.Name, keyVersion, n.Version, keyMessage, n.Message)
		s.hub.opts.Events.Rejected(n)
	}
}

// acked notes what the client holds now, and returns the versions that no
// client had accepted before.
func (s *session) acked(l *lane, f *flight) []*version {
	var settled []*version
	for _, it := range f.items {
		c := l.held.get(it.name.id)
		if it.version != nil && (!it.version.accepted.Load() || it.version.refused.Load()) {
			settled = append(settled, it.version)
		}
		none := it.serial == serialAbsent && !c.asked() // which is not kept
		if !l.wants(c) || none && c.serial() <= serialAbsent {
			continue
		}
		// Told that there is none of what it holds: that has to go, or to come again.
		if _, doubt := f.void[it.name.parent]; doubt || none {
			l.hold(it.name.id, c.with(serialUnknown))
			l.pending.add(it.name.id, s.hub.batch, s.hub.batch)
			continue
		}
		l.hold(it.name.id, c.with(it.serial))
		delete(l.refused, it.name.id)
		switch l.table.typ {
		case EndpointType:
			s.arrived(l, it.name, f.sent)
		case RouteType:
			if it.version != nil {
				s.routeTaken(it)
			}
		}
	}
	if l.table.typ == VirtualHostType {
		s.settle()
	}
	return settled
}

func (r *response) has(n *name) bool {
	for _, it := range r.items {
		if it.name == n {
			return true
		}
	}
	return false
}

// refused finds out which resources of a response the client refused. What is
// left of the response is sent again.
func (s *session) refused(l *lane, f *flight, message string) []NACK {
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage], "")
	}
	var culprits, rest []item
	adds := 0
	for _, it := range f.items {
		if it.version != nil {
			adds++
		}
	}
	for _, it := range f.items {
		l.answerAgain(it)
		switch {
		case it.version == nil && adds == 0:
			// Nothing but removals: sending them again would change nothing.
			if c := l.held.get(it.name.id); l.wants(c) {
				l.hold(it.name.id, c.with(it.serial))
			}
		case it.version != nil && (adds == 1 || mentions(message, it.name.text)):
			culprits = append(culprits, it)
		default:
			rest = append(rest, it)
		}
	}
	l.doubt(rest)
	s.suspect(l, rest, len(culprits) > 0)
	defer s.settle()
	var nacks []NACK
	for _, it := range culprits {
		if l.wants(l.held.get(it.name.id)) {
			l.refuse(it.name.id, it.version.serial)
			l.pending.add(it.name.id, f.first, f.last)
		}
		if l.table.typ == ClusterType {
			s.awaited.drop(it.version.res.EDS)
		}
		if l.table.typ == EndpointType {
			s.arrived(l, it.name, f.sent)
		}
		nacks = append(nacks, NACK{
			Class: s.class.key, NodeID: s.node, Type: l.table.typ, Name: it.name.text,
			Version: it.version.res.Version, Origins: it.version.res.Origins, Message: message,
			version: it.version,
		})
	}
	return nacks
}

// doubt notes that the client may or may not have taken these: Envoy takes what it
// can of a response that it refuses.
func (l *lane) doubt(items []item) {
	for _, it := range items {
		if c := l.held.get(it.name.id); l.wants(c) {
			l.hold(it.name.id, c.with(serialUnknown))
		}
	}
}

// suspect queues the names of a refused response to be sent again: at once
// when the culprits are known, else in two halves.
func (s *session) suspect(l *lane, items []item, known bool) {
	if len(items) == 0 {
		return
	}
	ids := make([]uint32, len(items))
	for i, it := range items {
		ids[i] = it.name.id
	}
	groups := [][]uint32{ids}
	if !known {
		groups = [][]uint32{ids[:len(ids)/2], ids[len(ids)/2:]}
	}
	l.suspects = append(groups, l.suspects...)
}

// mentions tells whether a message names a resource: the name stands alone
// and is not merely a number, as the names of some route configurations are.
func mentions(message, text string) bool {
	if strings.Trim(text, "0123456789") == "" {
		return false
	}
	for from := 0; ; {
		at := strings.Index(message[from:], text)
		if at < 0 {
			return false
		}
		at += from
		end := at + len(text)
		if (at == 0 || !inName(message[at-1])) && (end == len(message) || !inName(message[end]) || endsSentence(message, end)) {
			return true
		}
		from = at + 1
	}
}

// endsSentence is true for a full stop that is not part of a longer name.
func endsSentence(message string, at int) bool {
	return message[at] == '.' && (at+1 == len(message) || !inName(message[at+1]))
}

func inName(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("._-|/", c) >= 0
}
