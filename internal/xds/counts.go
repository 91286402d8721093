// SPDX-License-Identifier: Apache-2.0

package xds

import "time"

// patienceOfAnswer is how long a client may take to answer a response before it counts as lagging.
const patienceOfAnswer = 30 * time.Second

// Counts are how far the clients of this hub are.
type Counts struct {
	// Connected is how many streams are open; Synced is how many of them hold everything that they want as it is now.
	// Rejecting is how many refused something that they were to hold and that was not replaced since.
	// Lagging is how many have left something unanswered for 30 seconds, whatever else they are.
	Connected, Synced, Rejecting, Lagging int
}

// Counts looks at every stream.
func (h *Hub) Counts() Counts { return h.counts(time.Now()) }

func (h *Hub) counts(now time.Time) Counts {
	h.mu.RLock()
	defer h.mu.RUnlock()
	var out Counts
	for _, s := range h.seats {
		if s == nil {
			continue
		}
		out.Connected++
		synced, rejecting, lagging := s.standing(now)
		switch {
		case rejecting:
			out.Rejecting++
		case synced:
			out.Synced++
		}
		if lagging {
			out.Lagging++
		}
	}
	return out
}

// standing tells how far one client is; the hub's lock is held. One whose class is not worked out yet holds nothing.
func (s *session) standing(now time.Time) (synced, rejecting, lagging bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	synced = s.class.defined && len(s.lanes) > 0
	for _, l := range s.lanes {
		synced = synced && l.flight == nil && !l.due()
		lagging = lagging || l.flight != nil && now.Sub(l.flight.at) > patienceOfAnswer
		for id, serial := range l.refused {
			e := s.class.top(l.table, id)
			rejecting = rejecting || e != nil && e.want.serial == serial
		}
	}
	return synced, rejecting, lagging
}
