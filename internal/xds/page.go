// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"sync"
	"sync/atomic"
)

const (
	pageBits = 6
	pageSize = 1 << pageBits
)

type cells [pageSize]cell

// page is the cells of neighbouring names. It belongs to one session, which
// alone knows and changes it, or to all that share it, and is then left as it is.
type page struct {
	cells cells
	used  int32
	// holders are the sessions that share it, 0 for one session's own page.
	holders atomic.Int32
}

func (p *page) shared() bool { return p.holders.Load() > 0 }

func (p *page) set(i uint32, c cell) {
	switch at := &p.cells[i]; {
	case *at == 0:
		p.used++
	case c == 0:
		p.used--
	}
	p.cells[i] = c
}

// pages are the pages of all sessions. Proxies of one class that are up to date
// hold the same of nearly everything, so equal pages are kept once: without that
// they were most of what a further client costs.
type pages struct {
	mu sync.Mutex
	// equal are the shared pages by what is in them.
	equal map[cells]*page
	// spare are pages that nobody has, so that changes make no garbage.
	spare []*page
}

// sparePages bounds what is kept for later, 72 KiB in all.
const sparePages = 256

// own is a page for one session to change: a copy of a shared one that it held,
// or an empty one.
func (a *pages) own(of *page) *page {
	a.mu.Lock()
	defer a.mu.Unlock()
	var pg *page
	if last := len(a.spare) - 1; last >= 0 {
		pg, a.spare = a.spare[last], a.spare[:last]
	} else {
		pg = new(page)
	}
	if of != nil {
		pg.cells, pg.used = of.cells, of.used
		a.drop(of)
	}
	return pg
}

// share takes a session's own page for an equal one that it may not change.
func (a *pages) share(pg *page) *page {
	a.mu.Lock()
	defer a.mu.Unlock()
	if same := a.equal[pg.cells]; same != nil {
		same.holders.Add(1)
		a.free(pg)
		return same
	}
	if a.equal == nil {
		a.equal = map[cells]*page{}
	}
	a.equal[pg.cells] = pg
	pg.holders.Store(1)
	return pg
}

// release takes a page back that a session had.
func (a *pages) release(pg *page) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if pg.shared() {
		a.drop(pg)
	} else {
		a.free(pg)
	}
}

// drop counts one holder less.
func (a *pages) drop(pg *page) {
	if pg.holders.Add(-1) == 0 {
		delete(a.equal, pg.cells)
		a.free(pg)
	}
}

func (a *pages) free(pg *page) {
	if len(a.spare) < sparePages {
		pg.cells, pg.used = cells{}, 0
		a.spare = append(a.spare, pg)
	}
}
