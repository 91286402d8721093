// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"cmp"
	"slices"
)

// mark says that a name may differ from what a client holds. first and last
// are the batches of the first and the last change that it stands for.
type mark struct {
	id          uint32
	first, last uint64
}

// pending is a set of marks. Marks of one name are merged when the set is
// read or when it has doubled, so its size is bounded by the number of names
// and not by the number of changes.
type pending struct {
	marks []mark
	limit int
}

const pendingFloor = 64

// pendingSpare is how much room is kept while there is nothing: most changes
// are of a name or two.
const pendingSpare = 4

func (p *pending) add(id uint32, first, last uint64) {
	p.marks = append(p.marks, mark{id, first, last})
	if len(p.marks) > max(p.limit, pendingFloor) {
		p.merge()
		p.limit = 2 * len(p.marks)
	}
}

// merge sorts the marks by id, one for each name, and returns them.
func (p *pending) merge() []mark {
	if len(p.marks) < 2 {
		return p.marks
	}
	slices.SortFunc(p.marks, func(a, b mark) int { return cmp.Compare(a.id, b.id) })
	kept := p.marks[:1]
	for _, m := range p.marks[1:] {
		if top := &kept[len(kept)-1]; top.id == m.id {
			top.first, top.last = min(top.first, m.first), max(top.last, m.last)
		} else {
			kept = append(kept, m)
		}
	}
	p.marks = kept
	return kept
}

// earliest is the first batch of any mark for which ok holds, none when there
// is no such mark.
func (p *pending) earliest(ok func(id uint32) bool) uint64 {
	first := never
	for _, m := range p.marks {
		if m.first < first && ok(m.id) {
			first = m.first
		}
	}
	return first
}

// keep replaces the set by marks that were left over from merge's result.
func (p *pending) keep(marks []mark) {
	if len(marks) == 0 {
		kept := p.marks[:0]
		if cap(kept) > pendingSpare {
			kept = nil
		}
		*p = pending{marks: kept}
		return
	}
	p.marks = slices.Clip(marks)
}
