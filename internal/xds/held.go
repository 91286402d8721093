// SPDX-License-Identifier: Apache-2.0

package xds

import "math/bits"

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
// lie close together: they were published together.
type held struct {
	pages []*page
}

const pageBits = 6

type page struct {
	cells [1 << pageBits]cell
	used  int
}

func (h *held) get(id uint32) cell {
	if p := int(id >> pageBits); p < len(h.pages) && h.pages[p] != nil {
		return h.pages[p].cells[id&(1<<pageBits-1)]
	}
	return 0
}

func (h *held) set(id uint32, c cell) {
	p := int(id >> pageBits)
	if p >= len(h.pages) {
		if c == 0 {
			return
		}
		h.pages = append(h.pages, make([]*page, p+1-len(h.pages))...)
	}
	pg := h.pages[p]
	if pg == nil {
		if c == 0 {
			return
		}
		pg = new(page)
		h.pages[p] = pg
	}
	at := &pg.cells[id&(1<<pageBits-1)]
	switch {
	case *at == 0 && c != 0:
		pg.used++
	case *at != 0 && c == 0:
		pg.used--
	}
	*at = c
	if pg.used == 0 {
		h.pages[p] = nil
	}
}

// each calls f for every cell that is not zero, by ascending id. f may change
// the cell that it is called for.
func (h *held) each(f func(id uint32, c cell)) {
	for p, pg := range h.pages {
		if pg == nil {
			continue
		}
		for i, c := range pg.cells {
			if c != 0 {
				f(uint32(p)<<pageBits|uint32(i), c)
			}
		}
	}
}

// seats is a set of sessions, by their seat numbers in the hub.
type seats []uint64

func (s *seats) add(seat int) {
	if w := seat >> 6; w >= len(*s) {
		*s = append(*s, make([]uint64, w+1-len(*s))...)
	}
	(*s)[seat>>6] |= 1 << (seat & 63)
}

func (s *seats) remove(seat int) {
	if w := seat >> 6; w < len(*s) {
		(*s)[w] &^= 1 << (seat & 63)
	}
	for len(*s) > 0 && (*s)[len(*s)-1] == 0 {
		*s = (*s)[:len(*s)-1]
	}
	if len(*s) == 0 {
		*s = nil
	}
}

func (s seats) has(seat int) bool { w := seat >> 6; return w < len(s) && s[w]&(1<<(seat&63)) != 0 }

func (s seats) empty() bool { return len(s) == 0 }

func (s seats) each(f func(seat int)) {
	for w, word := range s {
		for ; word != 0; word &= word - 1 {
			f(w<<6 + bits.TrailingZeros64(word))
		}
	}
}
