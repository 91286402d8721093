// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"fmt"
	"runtime/debug"
	"slices"
)

// Index holds the rows of a table in buckets; see NewIndex.
type Index[X, K comparable, V any] struct {
	g       *Graph
	name    string
	order   int
	in      *Table[K, V]
	compare func(a, b X) int
	keysOf  func(K, V) []X
	// buckets also holds empty buckets that some function asked for.
	buckets map[X]*bucket[X, K, V]
	full    int // buckets that are not empty
	keys    *Table[X, struct{}]
	// broken holds the rows for which keysOf panicked, with the last good keys.
	broken map[K]brokenKeys[X]
	edits  []edit[X, K, V]
	before []X
	after  []X
}

// brokenKeys are the buckets of a row for which keysOf panicked.
type brokenKeys[X any] struct {
	keys    []X
	failure *Panic
}

// NewIndex adds an index over a table. keysOf says which buckets a row belongs
// to; naming one twice is the same as naming it once. It must be pure: when a row
// changes it is called with the old value as well, to find the buckets that the
// row has to leave. When it panics, the row stays in the buckets that it was in
// and a Panic is reported. compare orders the keys of the index totally.
func NewIndex[X, K comparable, V any](
	g *Graph, name string, in *Table[K, V], compare func(a, b X) int, keysOf func(K, V) []X,
) *Index[X, K, V] {
	if in == nil || in.g != g {
		panic(fmt.Sprintf("graph: index %q is over a table that is not in the graph", name))
	}
	if compare == nil {
		panic(fmt.Sprintf("graph: index %q needs a function that compares keys", name))
	}
	idx := &Index[X, K, V]{
		g: g, name: name, in: in, compare: compare, keysOf: keysOf,
		buckets: map[X]*bucket[X, K, V]{}, broken: map[K]brokenKeys[X]{},
	}
	idx.order = g.enter(name, idx)
	return idx
}

// Keys returns a table with one row for each bucket that is not empty. Like all
// tables it has to be asked for before the first commit. Its name is that of the
// index with ".keys" appended.
func (idx *Index[X, K, V]) Keys() *Table[X, struct{}] {
	if idx.keys == nil {
		if idx.g.sealed {
			panic(fmt.Sprintf("graph: keys of index %q are asked for after the first commit", idx.name))
		}
		idx.keys = newTable[X, struct{}](idx.g, idx.name+".keys", idx.compare)
		idx.keys.order = idx.order
		idx.g.name(idx.keys.name, idx.keys)
	}
	return idx.keys
}

// Bucket returns the rows of one bucket, sorted by key. It is for the owner of
// the graph; functions call Lookup.
func (idx *Index[X, K, V]) Bucket(x X) []Row[K, V] {
	b := idx.buckets[x]
	if b == nil {
		return nil
	}
	rows := make([]Row[K, V], len(b.members))
	for i, r := range b.members {
		rows[i] = Row[K, V]{Key: r.key, Value: r.value}
	}
	return rows
}

func (idx *Index[X, K, V]) forget() {
	if idx.keys != nil {
		idx.keys.forget()
	}
}

// read records that a function reads a bucket, and returns it if it exists.
func (idx *Index[X, K, V]) read(c *Ctx, x X) *bucket[X, K, V] {
	c.admit(idx.g, idx.name, idx.order)
	b := idx.buckets[x]
	switch {
	case b == nil:
		c.fresh = append(c.fresh, &bucketMiss[X, K, V]{index: idx, key: x})
	case b.site == 0:
		c.fresh = append(c.fresh, b)
	default:
		c.reads = append(c.reads, b.site)
	}
	return b
}

// run moves the changed rows between buckets, then wakes the readers of every
// bucket in which a row came, went or changed.
func (idx *Index[X, K, V]) run(res *Result) {
	if len(idx.in.changes) == 0 {
		return
	}
	for i := range idx.in.changes {
		idx.place(&idx.in.changes[i], res)
	}
	for i := range idx.edits {
		e := &idx.edits[i]
		b := e.bucket
		b.edit = 0
		before := len(b.members) > 0
		b.members = idx.apply(b.members, e)
		switch after := len(b.members) > 0; {
		case after && !before:
			idx.full++
		case before && !after:
			idx.full--
		}
		if idx.g.check != nil {
			idx.verify(b)
		}
		if idx.keys != nil {
			idx.show(b)
		}
		idx.g.ledger.wake(b.site)
		idx.release(b)
	}
	if idx.keys != nil {
		idx.keys.settle(res)
	}
	clear(idx.edits)
	idx.edits = trim(idx.edits)
	clear(idx.before)
	clear(idx.after)
	idx.before, idx.after = trim(idx.before), trim(idx.after)
}

// place finds the buckets that a changed row leaves, enters and stays in.
func (idx *Index[X, K, V]) place(ch *Change[K, V], res *Result) {
	idx.before, idx.after = idx.before[:0], idx.after[:0]
	old, wasBroken := idx.broken[ch.Key]
	switch {
	case wasBroken:
		idx.before = append(idx.before, old.keys...)
	case ch.Kind != Added:
		keys, _ := idx.ask(ch.Key, ch.Old)
		idx.before = idx.unique(idx.before, keys)
	}
	if ch.Kind != Deleted {
		keys, failure := idx.ask(ch.Key, ch.New)
		if failure != nil {
			res.Panics++
			idx.fail(ch.Key, old, wasBroken, failure)
			idx.after = append(idx.after, idx.before...)
			wasBroken = false
		} else {
			idx.after = idx.unique(idx.after, keys)
		}
	}
	if wasBroken {
		delete(idx.broken, ch.Key)
		idx.g.reports = append(idx.g.reports, Report{Table: idx.name, Input: ch.Key})
	}
	idx.move(ch.row)
}

// move notes where a row leaves, enters and stays; both lists are sorted.
func (idx *Index[X, K, V]) move(r *row[K, V]) {
	i, j := 0, 0
	for i < len(idx.before) || j < len(idx.after) {
		order := 0
		switch {
		case i == len(idx.before):
			order = 1
		case j == len(idx.after):
			order = -1
		default:
			order = idx.compare(idx.before[i], idx.after[j])
		}
		switch {
		case order < 0:
			e := idx.touch(idx.before[i])
			e.remove = append(e.remove, r)
			i++
		case order > 0:
			e := idx.touch(idx.after[j])
			e.add = append(e.add, r)
			j++
		default:
			idx.touch(idx.before[i])
			i, j = i+1, j+1
		}
	}
}

// ask calls the key function.
func (idx *Index[X, K, V]) ask(k K, v V) (keys []X, failure *Panic) {
	defer func() {
		if reason := recover(); reason != nil {
			if w, ok := reason.(wiring); ok {
				panic(w)
			}
			failure = &Panic{Table: idx.name, Input: k, Text: fmt.Sprint(reason), Stack: string(debug.Stack())}
		}
	}()
	keys = idx.keysOf(k, v)
	if idx.g.check != nil {
		idx.recheck(k, v, keys)
	}
	return keys, nil
}

// fail keeps the row where it is and reports the panic, if it is a new one.
func (idx *Index[X, K, V]) fail(k K, old brokenKeys[X], wasBroken bool, failure *Panic) {
	idx.broken[k] = brokenKeys[X]{keys: slices.Clone(idx.before), failure: failure}
	if !wasBroken || old.failure.Text != failure.Text {
		idx.g.reports = append(idx.g.reports, Report{
			Table: idx.name, Input: k, Problems: []any{*failure}, Kept: true,
		})
	}
}

// unique appends keys without duplicates, in the order of the index.
func (idx *Index[X, K, V]) unique(to, keys []X) []X {
	to = append(to, keys...)
	if len(to) > 1 {
		slices.SortFunc(to, idx.compare)
		to = slices.Compact(to)
	}
	return to
}
