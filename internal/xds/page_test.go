// SPDX-License-Identifier: Apache-2.0

package xds

import "testing"

func TestEqualPagesAreKeptOnce(t *testing.T) {
	var all pages
	a, b := new(held), new(held)
	for _, h := range []*held{a, b} {
		for id := range uint32(3 * pageSize) {
			h.set(&all, id, cell(id+7))
		}
		h.share(&all)
	}
	if len(all.equal) != 3 || a.pages[2] != b.pages[2] {
		t.Fatalf("%d shared pages of two sessions that hold the same, want 3", len(all.equal))
	}

	b.set(&all, pageSize, 5)
	if got := a.get(pageSize); got != pageSize+7 {
		t.Errorf("what one session holds changed to %d when another took a version", got)
	}
	if b.get(pageSize) != 5 || a.pages[0] != b.pages[0] || a.pages[1] == b.pages[1] {
		t.Error("one changed cell did not make one page its session's own")
	}
	b.set(&all, pageSize, pageSize+7)
	b.share(&all)
	if a.pages[1] != b.pages[1] {
		t.Error("pages are equal again and not shared")
	}

	for id := range uint32(pageSize) {
		b.set(&all, id, 0)
	}
	if b.pages[0] != nil || b.get(1) != 0 || a.get(1) != 8 {
		t.Error("a page of which nothing is left is kept, or was taken from another session")
	}
	b.set(&all, 1, 9)
	b.share(&all)
	a.release(&all)
	b.release(&all)
	if len(all.equal) != 0 || len(all.spare) == 0 {
		t.Errorf("%d pages are shared by nobody", len(all.equal))
	}
	for _, pg := range all.spare {
		if pg.used != 0 || pg.shared() || pg.cells != (cells{}) {
			t.Error("a spare page is not empty")
		}
	}
}
