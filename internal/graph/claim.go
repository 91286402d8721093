// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"fmt"
	"slices"
)

// rival is an emission that lost its key to a smaller input.
type rival[V any] struct {
	cell  uint32
	value V
}

// Conflict is the problem of an input that emitted a key which another input
// has. When one evaluation emitted the key twice, winner and loser are the same.
type Conflict struct {
	Table  string // where the key was emitted
	Key    any
	Winner any // input key
	Loser  any // input key, the one that carries the report
}

// Error says who emitted what, and what to do.
func (c Conflict) Error() string {
	if c.Winner == c.Loser {
		return fmt.Sprintf("%v emits key %v of table %q more than once; only the first counts", c.Loser, c.Key, c.Table)
	}
	return fmt.Sprintf("%v emits key %v of table %q, which belongs to %v; remove it from one of them", c.Loser, c.Key, c.Table, c.Winner)
}

// claim writes the emission of a cell to a row. Who has a row that several cells
// emit is only decided when all cells of the run have been absorbed (decide), so
// the result does not depend on their order.
func (d *derived[IK, IV, K, V]) claim(r *row[K, V], c *cell[IK, IV, K, V], v V) {
	d.touch(r)
	if r.owner == c.id || r.owner == 0 && !r.rivals {
		r.owner, r.value, r.present = c.id, v, true
		return
	}
	losers := d.contested[r]
	i := slices.IndexFunc(losers, func(l rival[V]) bool { return l.cell == c.id })
	if i >= 0 {
		losers[i].value = v
		return
	}
	d.contested[r] = append(losers, rival[V]{cell: c.id, value: v})
	if !r.rivals {
		r.rivals = true
		d.disputed = append(d.disputed, r)
	}
}

// withdraw takes the emission of a cell back.
func (d *derived[IK, IV, K, V]) withdraw(r *row[K, V], c *cell[IK, IV, K, V]) {
	d.touch(r)
	if r.owner == c.id {
		var none V
		r.owner, r.value, r.present = 0, none, false
		return
	}
	d.contested[r] = slices.DeleteFunc(d.contested[r], func(l rival[V]) bool { return l.cell == c.id })
}

// touch is Table.touch, and lists the row for decide if it is contested.
func (d *derived[IK, IV, K, V]) touch(r *row[K, V]) {
	if r.rivals && !r.touched {
		d.disputed = append(d.disputed, r)
	}
	d.out.touch(r)
}

// decide gives every contested row of this run to its smallest input.
func (d *derived[IK, IV, K, V]) decide() {
	for _, r := range d.disputed {
		losers := d.contested[r]
		for i := range losers {
			l := &losers[i]
			if r.owner == 0 {
				r.owner, r.value, r.present = l.cell, l.value, true
				l.cell = 0
				continue
			}
			if d.byInput(d.cell(l.cell), d.cell(r.owner)) < 0 {
				r.owner, l.cell = l.cell, r.owner
				r.value, l.value = l.value, r.value
			}
		}
		losers = slices.DeleteFunc(losers, func(l rival[V]) bool { return l.cell == 0 })
		if r.owner != 0 {
			d.suspect(d.cell(r.owner))
		}
		for _, l := range losers {
			d.suspect(d.cell(l.cell))
		}
		if len(losers) == 0 {
			r.rivals = false
			delete(d.contested, r)
			continue
		}
		d.contested[r] = losers
	}
	clear(d.disputed)
	d.disputed = trim(d.disputed)
}

func (d *derived[IK, IV, K, V]) cell(id uint32) *cell[IK, IV, K, V] {
	return d.g.ledger.cells[id].(*cell[IK, IV, K, V])
}
