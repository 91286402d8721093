// SPDX-License-Identifier: Apache-2.0

package machine

import "time"

const (
	// Grace is for how long the entry of a machine that left stays: it may come back, to any replica.
	Grace = 10 * time.Second
	// settle is for how long a stream has ended before that is written. A proxy that is told to go elsewhere has claimed
	// its entry there by then, and nothing is written at all.
	settle = time.Second
	// deference is how much later others than the replica that a machine left delete its entry.
	deference = 5 * time.Second
	// orphanhood is for how long the replica of an entry has been away before its machine counts as gone: proxies that
	// lost their control plane try again at least every 30 s.
	orphanhood = time.Minute
)

// action is what is to be done about an entry.
type action uint8

const (
	nothing action = iota
	create         // there is none
	claim          // it is another replica's, or not what it should be
	part           // write that the machine left
	remove
)

// scene is all that a decision depends on.
type scene struct {
	entry  *Entry // nil: there is none
	digest string // of what the entry is to be; empty: there is no group any more
	self   string
	now    time.Time

	present  bool      // a stream of the machine ends here
	since    time.Time // the first of these streams opened
	left     time.Time // the last one ended; zero: there was none
	orphaned time.Time // since when the entry's replica is known to be away; zero: it is not
}

// decide is the whole policy. again is when to look once more, 0 for at the next change.
func decide(s scene) (do action, again time.Duration) {
	e := s.entry
	switch {
	case e == nil && s.present && s.digest != "":
		return create, 0
	case e == nil, !e.Registered, e.Deleting:
		return nothing, 0
	case s.present:
		return decidePresent(s), 0
	case !e.Disconnected.IsZero():
		due := e.Disconnected.Add(Grace)
		if e.Controller != s.self {
			due = due.Add(deference)
		}
		if wait := due.Sub(s.now); wait > 0 {
			// A clock of another replica that is far ahead does not count.
			return nothing, min(wait, Grace+deference)
		}
		return remove, 0
	case e.Controller == s.self:
		return after(s, s.left, settle)
	case !s.orphaned.IsZero():
		return after(s, s.orphaned, orphanhood)
	}
	return nothing, 0
}

func decidePresent(s scene) action {
	e := s.entry
	switch {
	case s.digest == "":
		return nothing // it goes with its group
	case e.Controller == s.self && e.Disconnected.IsZero() && e.Digest == s.digest:
		return nothing
	case e.Controller != s.self && e.Disconnected.IsZero() && e.Connected.After(s.since) && s.orphaned.IsZero():
		return nothing // the machine is elsewhere by now, and the stream here is about to be found dead
	}
	return claim
}

func after(s scene, from time.Time, pause time.Duration) (action, time.Duration) {
	if wait := from.Add(pause).Sub(s.now); wait > 0 {
		return nothing, wait
	}
	return part, 0
}
