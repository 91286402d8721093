// SPDX-License-Identifier: Apache-2.0

package graph

// The ledger records who read what. A mesh has many more reads than rows, so an
// edge is two pairs of 32-bit numbers, 16 bytes in all, that hold no pointer and
// cost the garbage collector nothing:
//
//	cell.reads[slot]   = read{site, pos} ──┐
//	                  ┌────────────────────┘
//	site.readers[pos] = edge{cell, slot}
//
// Each half names the place of the other, so that both are found and removed
// without searching. Numbers are given out on the first read and taken back after the last;
// 0 means none.

// edge is the reader's half, kept at what is read.
type edge struct{ cell, slot uint32 }

// read is the half of what is read, kept at the reader.
type read struct{ site, pos uint32 }

// readable is a row or a bucket: something that a function can read.
type readable interface {
	siteID() uint32
	setSite(id uint32)
	// idle says that nobody reads it any more and that its site is gone.
	idle()
	ref() Ref
}

// pending is something read that had no site yet when it was read.
type pending interface {
	resolve() readable
	// token is equal for equal reads.
	token() any
}

// watcher is a cell: one input of a derived table, which is evaluated again when
// something that it read changes.
type watcher interface {
	mark()
	moved(slot, pos uint32)
	links() []read
	ref() Ref
	problems() []any
}

type site struct {
	readers []edge
	of      readable
}

type ledger struct {
	sites     []site
	freeSites []uint32
	cells     []watcher
	freeCells []uint32
	// unread holds sites that lost their last reader. They are not freed at once:
	// an evaluation that has not been recorded yet may have read them.
	unread []uint32
	edges  int
}

func (l *ledger) init() {
	l.sites = make([]site, 1)
	l.cells = make([]watcher, 1)
}

// enrol numbers a cell.
func (l *ledger) enrol(w watcher) uint32 {
	if n := len(l.freeCells); n > 0 {
		id := l.freeCells[n-1]
		l.freeCells = l.freeCells[:n-1]
		l.cells[id] = w
		return id
	}
	l.cells = append(l.cells, w)
	return uint32(len(l.cells) - 1)
}

// discharge takes the number of a cell back. The cell must have no reads.
func (l *ledger) discharge(id uint32) {
	l.cells[id] = nil
	l.freeCells = append(l.freeCells, id)
}

// attach returns the site of what was read and makes one if there is none.
func (l *ledger) attach(r readable) uint32 {
	if id := r.siteID(); id != 0 {
		return id
	}
	var id uint32
	if n := len(l.freeSites); n > 0 {
		id = l.freeSites[n-1]
		l.freeSites = l.freeSites[:n-1]
		l.sites[id].of = r
	} else {
		l.sites = append(l.sites, site{of: r})
		id = uint32(len(l.sites) - 1)
	}
	r.setSite(id)
	return id
}

// relink replaces the reads of a cell. want is sorted and has no duplicates; so
// has the result.
func (l *ledger) relink(id uint32, have []read, want []uint32) []read {
	if sameSites(have, want) {
		return have
	}
	var next []read
	if len(want) > 0 {
		next = make([]read, len(want))
	}
	i := 0
	for slot, s := range want {
		for ; i < len(have) && have[i].site < s; i++ {
			l.unlink(have[i])
		}
		if i < len(have) && have[i].site == s {
			next[slot] = have[i]
			l.sites[s].readers[have[i].pos].slot = uint32(slot)
			i++
			continue
		}
		at := &l.sites[s]
		at.readers = append(at.readers, edge{cell: id, slot: uint32(slot)})
		next[slot] = read{site: s, pos: uint32(len(at.readers) - 1)}
		l.edges++
	}
	for ; i < len(have); i++ {
		l.unlink(have[i])
	}
	return next
}

func sameSites(have []read, want []uint32) bool {
	if len(have) != len(want) {
		return false
	}
	for i, r := range have {
		if r.site != want[i] {
			return false
		}
	}
	return true
}

// unlink removes one edge; the last reader of the site takes its place.
func (l *ledger) unlink(r read) {
	at := &l.sites[r.site]
	last := len(at.readers) - 1
	if int(r.pos) != last {
		moved := at.readers[last]
		at.readers[r.pos] = moved
		l.cells[moved.cell].moved(moved.slot, r.pos)
	}
	at.readers = at.readers[:last]
	l.edges--
	switch {
	case last == 0:
		l.unread = append(l.unread, r.site)
	case cap(at.readers) > 64 && last < cap(at.readers)/4:
		at.readers = append(make([]edge, 0, 2*last), at.readers...)
	}
}

// wake marks all readers of a site for evaluation.
func (l *ledger) wake(id uint32) {
	if id == 0 {
		return
	}
	for _, e := range l.sites[id].readers {
		l.cells[e.cell].mark()
	}
}

// sweep frees the sites that nobody reads.
func (l *ledger) sweep() {
	for _, id := range l.unread {
		at := &l.sites[id]
		if at.of == nil || len(at.readers) > 0 {
			continue // freed already, or read again
		}
		of := at.of
		*at = site{}
		of.setSite(0)
		of.idle()
		l.freeSites = append(l.freeSites, id)
	}
	l.unread = trim(l.unread)
}
