// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"fmt"
	"slices"
)

// derived is a table that a function fills, one cell per row of the input.
type derived[IK comparable, IV any, K comparable, V any] struct {
	g   *Graph
	in  *Table[IK, IV]
	out *Table[K, V]
	fn  func(c *Ctx, k IK, v IV, emit func(K, V))

	dirty     []*cell[IK, IV, K, V]
	suspects  []*cell[IK, IV, K, V]            // their reports may have changed
	contested map[*row[K, V]][]rival[V]        // by row: who lost it to the owner
	noted     map[*cell[IK, IV, K, V]]struct{} // cells with notes
	disputed  []*row[K, V]                     // contested rows that this run touched
	lanes     []*lane[IK, IV, K, V]
	scratch   scratch[K, V]
	evaluated uint64
}

// cell is the function applied to one input row: what it read and what it emitted.
type cell[IK comparable, IV any, K comparable, V any] struct {
	table  *derived[IK, IV, K, V]
	in     *row[IK, IV]
	reads  []read
	outs   []*row[K, V] // each of them is owned by the cell or contested
	notes  *notes       // nil for the many cells that have nothing to report
	id     uint32
	dirty  bool
	listed bool // in table.suspects
}

// scratch is the memory that one run reuses from cell to cell.
type scratch[K comparable, V any] struct {
	sites []uint32
	outs  []*row[K, V]
}

// Derive adds a table whose rows are emitted by fn, which is evaluated once for
// each row of in: when that row is added or updated, and when anything changes
// that fn read in its last evaluation. fn emits any number of rows. When an input
// row is deleted, its rows go with it.
//
// A key belongs to one input. When several inputs emit the same key, the smallest
// input key in the order of the input table has it, and each of the others gets a
// Conflict as report; the row of the next one takes over when the first one
// withdraws. When one evaluation emits a key twice, the first emission counts.
//
// A panic in fn leaves the rows of that input as they were and becomes a Panic in
// the reports. compare orders the keys of the new table totally.
func Derive[IK comparable, IV any, K comparable, V any](
	g *Graph, name string, in *Table[IK, IV], compare func(a, b K) int,
	fn func(c *Ctx, k IK, v IV, emit func(K, V)),
) *Table[K, V] {
	if in == nil || in.g != g {
		panic(fmt.Sprintf("graph: table %q derives from a table that is not in the graph", name))
	}
	d := &derived[IK, IV, K, V]{
		g: g, in: in, fn: fn,
		out:       newTable[K, V](g, name, compare),
		contested: map[*row[K, V]][]rival[V]{},
		noted:     map[*cell[IK, IV, K, V]]struct{}{},
	}
	d.out.order = g.enter(name, d)
	return d.out
}

func (d *derived[IK, IV, K, V]) forget() { d.out.forget() }

// run evaluates the dirty cells and settles the rows that they emit. Cells of
// updated and deleted input rows were marked by the input table when it settled,
// like any other reader; only added rows have no cell yet. The order in which
// cells are evaluated and absorbed shows in nothing, so they are not sorted.
func (d *derived[IK, IV, K, V]) run(res *Result) {
	for i := range d.in.changes {
		if ch := &d.in.changes[i]; ch.Kind == Added {
			d.open(ch.row)
		}
	}
	if len(d.dirty) == 0 {
		return
	}
	calls := 0
	live := d.dirty[:0:len(d.dirty)]
	for _, c := range d.dirty {
		c.dirty = false
		if !c.in.present {
			d.close(c)
			continue
		}
		live = append(live, c)
		calls++
	}
	d.evaluate(live, res)
	d.decide()
	d.out.settle(res)
	d.announce()

	clear(d.dirty)
	d.dirty = trim(d.dirty)
	d.scratch.sites, d.scratch.outs = trim(d.scratch.sites), trim(d.scratch.outs)
	if calls > 0 {
		d.evaluated += uint64(calls)
		d.g.evaluated += uint64(calls)
		count(&res.Evaluated, d.out.name, calls)
	}
}

func (d *derived[IK, IV, K, V]) byInput(a, b *cell[IK, IV, K, V]) int {
	return d.in.compare(a.in.key, b.in.key)
}

// open makes the cell of a new input row; its first read is that row.
func (d *derived[IK, IV, K, V]) open(in *row[IK, IV]) {
	c := &cell[IK, IV, K, V]{table: d, in: in}
	c.id = d.g.ledger.enrol(c)
	c.reads = d.g.ledger.relink(c.id, nil, []uint32{d.g.ledger.attach(in)})
	c.mark()
}

// close withdraws all that a cell emitted and forgets it.
func (d *derived[IK, IV, K, V]) close(c *cell[IK, IV, K, V]) {
	for _, r := range c.outs {
		d.withdraw(r, c)
	}
	c.outs = nil
	c.reads = d.g.ledger.relink(c.id, c.reads, nil)
	d.g.ledger.discharge(c.id)
	if c.notes != nil {
		c.notes.own, c.notes.kept = nil, false
		d.suspect(c)
	}
}

// absorb records one evaluation of a cell: its reads, its problems and its rows.
func (d *derived[IK, IV, K, V]) absorb(c *cell[IK, IV, K, V], o outcome[K, V]) {
	sites := append(d.scratch.sites[:0], o.reads...)
	for _, p := range o.fresh {
		sites = append(sites, d.g.ledger.attach(p.resolve()))
	}
	slices.Sort(sites)
	sites = slices.Compact(sites)
	d.scratch.sites = sites
	c.reads = d.g.ledger.relink(c.id, c.reads, sites)

	var twice []K
	if !o.kept {
		twice = d.emit(c, o.emits)
	}
	if c.notes == nil && len(o.problems) == 0 && len(twice) == 0 && !o.kept {
		return
	}
	if c.notes == nil {
		c.notes = &notes{}
	}
	c.notes.own = append([]any(nil), o.problems...)
	c.notes.kept = o.kept
	for _, k := range twice {
		c.notes.own = append(c.notes.own, Conflict{Table: d.out.name, Key: k, Winner: c.in.key, Loser: c.in.key})
	}
	d.suspect(c)
}

// emit replaces the rows of a cell and returns keys that were emitted twice.
func (d *derived[IK, IV, K, V]) emit(c *cell[IK, IV, K, V], emits []Row[K, V]) (twice []K) {
	outs := d.scratch.outs[:0]
	for i := range emits {
		k := emits[i].Key
		var r *row[K, V]
		if i < len(c.outs) && c.outs[i].key == k {
			r = c.outs[i] // the usual case: the same keys as last time
		} else {
			r = d.out.at(k)
		}
		if r.claimed {
			twice = append(twice, k)
			continue
		}
		r.claimed = true
		d.claim(r, c, emits[i].Value)
		outs = append(outs, r)
	}
	for _, r := range c.outs {
		if !r.claimed {
			d.withdraw(r, c)
		}
	}
	for _, r := range outs {
		r.claimed = false
	}
	switch {
	case len(outs) == 0:
		c.outs = nil
	case len(outs) == len(c.outs):
		copy(c.outs, outs)
	default:
		c.outs = append(make([]*row[K, V], 0, len(outs)), outs...)
	}
	clear(outs)
	d.scratch.outs = outs[:0]
	return twice
}

// standing copies the rows that the cell owns.
func (c *cell[IK, IV, K, V]) standing() []Row[K, V] {
	var out []Row[K, V]
	for _, r := range c.outs {
		if r.present && r.owner == c.id {
			out = append(out, Row[K, V]{Key: r.key, Value: r.value})
		}
	}
	return out
}

func (c *cell[IK, IV, K, V]) mark() {
	if !c.dirty {
		c.dirty = true
		c.table.dirty = append(c.table.dirty, c)
	}
}

func (c *cell[IK, IV, K, V]) moved(slot, pos uint32) { c.reads[slot].pos = pos }
func (c *cell[IK, IV, K, V]) links() []read          { return c.reads }
func (c *cell[IK, IV, K, V]) ref() Ref {
	return Ref{Table: c.table.out.name, Key: c.in.key, Present: c.in.present}
}
