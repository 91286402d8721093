// SPDX-License-Identifier: Apache-2.0

package xds

// Counts are how far the clients of this hub are.
type Counts struct {
	// Connected is how many streams are open; Synced is how many of them hold everything that they want as it is now.
	// Rejecting is how many refused something that they were to hold and that was not replaced since.
	Connected, Synced, Rejecting int
}

// Counts looks at every stream.
func (h *Hub) Counts() Counts {
	h.mu.RLock()
	defer h.mu.RUnlock()
	var out Counts
	for _, s := range h.seats {
		if s == nil {
			continue
		}
		out.Connected++
		switch synced, rejecting := s.standing(); {
		case rejecting:
			out.Rejecting++
		case synced:
			out.Synced++
		}
	}
	return out
}

// standing tells how far one client is; the hub's lock is held. One whose class is not worked out yet holds nothing.
func (s *session) standing() (synced, rejecting bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	synced = s.class.defined && len(s.lanes) > 0
	for _, l := range s.lanes {
		synced = synced && l.flight == nil && !l.due()
		for id, serial := range l.refused {
			e := s.class.top(l.table, id)
			rejecting = rejecting || e != nil && e.want.serial == serial
		}
	}
	return synced, rejecting
}
