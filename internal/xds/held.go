// SPDX-License-Identifier: Apache-2.0

package xds

// A cell is what a session knows of one name: the serial number of the
// version that the client acknowledged, and whether the client asked for the
// name explicitly.
type cell uint32

const (
	// askedBit is set in the cell of a name that the client subscribes to.
	askedBit cell = 1 << 31

	// serialNone: the client does not hold the name.
	serialNone uint32 = 0
	// serialAbsent: the client asked and was told that there is no such name.
	serialAbsent uint32 = 1
	// serialUnknown: the client holds some version, or must be sent it again.
	serialUnknown uint32 = 2
	// Serial numbers of versions are greater than serialUnknown.
)

func (c cell) serial() uint32 { return uint32(c &^ askedBit) }
func (c cell) asked() bool    { return c&askedBit != 0 }

func (c cell) with(serial uint32) cell { return c&askedBit | cell(serial)&^askedBit }

// held maps name ids to cells in pages, because the ids that one proxy knows
// lie close together: they were published together. Pages are a session's own
// while they change and shared with other sessions afterwards.
type held struct {
	pages []*page
	// own are the places of pages that were made or copied since share; one that
	// went or is shared again may be among them.
	own []uint32
}

// ownSpare is for how many places of its own pages a session keeps room: most
// changes are of one page.
const ownSpare = 16

func (h *held) get(id uint32) cell {
	if p := int(id >> pageBits); p < len(h.pages) && h.pages[p] != nil {
		return h.pages[p].cells[id&(pageSize-1)]
	}
	return 0
}

func (h *held) set(all *pages, id uint32, c cell) {
	if c == h.get(id) {
		return
	}
	p := id >> pageBits
	if more := int(p) + 1 - len(h.pages); more > 0 {
		h.pages = append(h.pages, make([]*page, more)...)
	}
	pg := h.pages[p]
	if pg == nil || pg.shared() {
		pg = all.own(pg)
		h.pages[p] = pg
		h.own = append(h.own, p)
	}
	pg.set(id&(pageSize-1), c)
	if pg.used == 0 {
		all.release(pg)
		h.pages[p] = nil
	}
}

// share gives up the session's own pages for equal ones that all share.
func (h *held) share(all *pages) {
	for _, p := range h.own {
		if pg := h.pages[p]; pg != nil && !pg.shared() {
			h.pages[p] = all.share(pg)
		}
	}
	if h.own = h.own[:0]; cap(h.own) > ownSpare {
		h.own = nil
	}
}

// release gives all pages back.
func (h *held) release(all *pages) {
	for _, pg := range h.pages {
		if pg != nil {
			all.release(pg)
		}
	}
	*h = held{}
}

// each calls f for every cell that is not zero, by ascending id. f may change
// the cell that it is called for.
func (h *held) each(f func(id uint32, c cell)) {
	for p, pg := range h.pages {
		if pg == nil {
			continue
		}
		for i, c := range pg.cells { // A copy of them.
			if c != 0 {
				f(uint32(p)<<pageBits|uint32(i), c)
			}
		}
	}
}
