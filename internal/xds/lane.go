// SPDX-License-Identifier: Apache-2.0

package xds

import "time"

// lane is one type on one stream: what the client wants of it, what it holds,
// what may differ, and the response that it has not acknowledged yet. It is
// guarded by the session's lock.
type lane struct {
	table *table
	pages *pages
	// wild: the client wants all resources of the type.
	wild bool
	// asked counts the names that the client subscribes to explicitly.
	asked int
	held  held
	// claims are the versions that the client said to hold when it connected,
	// until they can be compared with those of its class.
	claims claims
	// disowned are claimed names that are not claims any more, because the
	// client changed its subscription before they could be compared.
	disowned map[string]struct{}

	// greet is true while a client that knows nothing waits for its first
	// answer, which it must get even when there is nothing to tell: Envoy does
	// not go on without.
	greet bool

	pending pending
	// scan are the names that a wildcard client must still be compared with;
	// the slice is shared with other sessions. scanned is how far it got.
	scan      []uint32
	scanned   int
	scanBatch uint64

	// questions are hosts that were asked for and are not looked up yet.
	questions []string
	// asks are the names under which hosts were asked for, until they are
	// answered.
	asks map[uint32][]string
	// strangers are hosts that were asked for and do not exist; each is
	// answered once.
	strangers []uint32

	// flight is nil while no response is unanswered, else it points to seat.
	flight *flight
	seat   flight
	// suspects are groups of names of refused responses. They are sent group
	// by group, each half as large as the refused response that it was part
	// of, until the one that the client refuses is alone.
	suspects [][]uint32
	// refused are the versions that this client refused, by name.
	refused map[uint32]uint32
}

// flight is a response that was sent and not acknowledged.
type flight struct {
	*response
	// first and last are the batches of the changes in it.
	first, last uint64
	// adds is true when the response holds more than removals.
	adds bool
	// sent orders the responses of one stream; at is when it was made.
	sent uint64
	at   time.Time
	// void are the route configurations that the client took after this was
	// sent: it may have dropped the hosts of them that are in here.
	void map[string]struct{}
}

const never = ^uint64(0)

// wants tells whether the client subscribes to a name.
func (l *lane) wants(c cell) bool { return l.wild || c.asked() }

// startScan lets the session compare all names of a class with what the
// client holds.
func (l *lane) startScan(ids []uint32, batch uint64) {
	l.scan, l.scanned, l.scanBatch = ids, 0, batch
}

func (l *lane) scanning() bool { return l.scanned < len(l.scan) }

// refuse remembers that the client refused a version.
func (l *lane) refuse(id, serial uint32) {
	if l.refused == nil {
		l.refused = map[uint32]uint32{}
	}
	l.refused[id] = serial
}

// outstanding is the first batch of which the client has not acknowledged
// everything of this type; ok picks the marks that count.
func (l *lane) outstanding(counts func(id uint32) bool, flight bool) uint64 {
	first := l.pending.earliest(counts)
	if l.scanning() {
		first = min(first, l.scanBatch)
	}
	if flight && l.flight != nil {
		first = min(first, l.flight.first)
	}
	return first
}

// disown forgets that the client claims a name.
func (l *lane) disown(text string) {
	if l.claims == nil {
		return
	}
	if l.disowned == nil {
		l.disowned = map[string]struct{}{}
	}
	l.disowned[text] = struct{}{}
}
