// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"fmt"
	"slices"
)

// Table is a set of rows, each with a key of its own. Tables are made by
// NewSource, Derive and Index.Keys.
type Table[K comparable, V any] struct {
	g       *Graph
	name    string
	order   int
	compare func(a, b K) int
	equal   func(a, b *V) bool
	// rows also holds absent rows that some function asked for.
	rows    map[K]*row[K, V]
	live    int
	changes []Change[K, V]
}

// Row is a key with its value.
type Row[K comparable, V any] struct {
	Key   K
	Value V
}

// Kind says how a row changed.
type Kind uint8

// The kinds of change.
const (
	Added Kind = iota + 1
	Updated
	Deleted
)

// String returns the kind in lower case.
func (k Kind) String() string {
	switch k {
	case Added:
		return "added"
	case Updated:
		return "updated"
	case Deleted:
		return "deleted"
	}
	return "unknown"
}

// Change is what one commit did to one row. Old is the zero value for an added
// row, and New for a deleted one.
type Change[K comparable, V any] struct {
	Key  K
	Kind Kind
	Old  V
	New  V

	row *row[K, V]
	had bool
}

// row is a row with what the engine has to know about it. A row that is not
// present exists as long as somebody waits for it.
type row[K comparable, V any] struct {
	table   *Table[K, V]
	key     K
	value   V
	site    uint32 // in the ledger, 0 if nobody reads the row
	owner   uint32 // the cell that emitted it, 0 in sources
	present bool
	touched bool // listed in table.changes
	claimed bool // scratch mark while the emissions of one cell are compared
	rivals  bool // more than one input emits it
}

// miss is a read of a key that no row exists for, not even an absent one.
type miss[K comparable, V any] struct {
	table *Table[K, V]
	key   K
}

func (m *miss[K, V]) resolve() readable { return m.table.at(m.key) }
func (m *miss[K, V]) token() any        { return *m }

func (r *row[K, V]) resolve() readable { return r }
func (r *row[K, V]) token() any        { return r }
func (r *row[K, V]) siteID() uint32    { return r.site }
func (r *row[K, V]) setSite(id uint32) { r.site = id }
func (r *row[K, V]) idle()             { r.table.release(r) }
func (r *row[K, V]) ref() Ref {
	return Ref{Table: r.table.name, Key: r.key, Present: r.present}
}

func newTable[K comparable, V any](g *Graph, name string, compare func(a, b K) int) *Table[K, V] {
	if compare == nil {
		panic(fmt.Sprintf("graph: table %q needs a function that compares keys", name))
	}
	return &Table[K, V]{
		g: g, name: name, compare: compare, equal: equality[V](),
		rows: map[K]*row[K, V]{},
	}
}

// Name returns the name that the table was built with.
func (t *Table[K, V]) Name() string { return t.name }

// Len returns the number of rows.
func (t *Table[K, V]) Len() int { return t.live }

// Row returns the value of a row and whether there is one. It is for the owner
// of the graph; functions call Get.
func (t *Table[K, V]) Row(k K) (V, bool) {
	if r := t.rows[k]; r != nil && r.present {
		return r.value, true
	}
	var none V
	return none, false
}

// Range calls yield for each row in the order of the keys, until it returns
// false. It sorts the whole table, and it is for the owner of the graph only.
func (t *Table[K, V]) Range(yield func(K, V) bool) {
	rows := make([]*row[K, V], 0, t.live)
	for _, r := range t.rows {
		if r.present {
			rows = append(rows, r)
		}
	}
	slices.SortFunc(rows, t.byKey)
	for _, r := range rows {
		if !yield(r.key, r.value) {
			return
		}
	}
}

// Changes returns what the last commit did to the table, sorted by key. The slice
// is valid until the next commit.
func (t *Table[K, V]) Changes() []Change[K, V] { return t.changes }

func (t *Table[K, V]) byKey(a, b *row[K, V]) int { return t.compare(a.key, b.key) }

// at returns the row of a key, made absent if there was none.
func (t *Table[K, V]) at(k K) *row[K, V] {
	r := t.rows[k]
	if r == nil {
		r = &row[K, V]{table: t, key: k}
		t.rows[k] = r
	}
	return r
}

// release drops an absent row that nobody waits for.
func (t *Table[K, V]) release(r *row[K, V]) {
	if !r.present && r.site == 0 {
		delete(t.rows, r.key)
	}
}

// touch remembers the state of a row before this commit's first write to it.
func (t *Table[K, V]) touch(r *row[K, V]) {
	if r.touched {
		return
	}
	r.touched = true
	t.changes = append(t.changes, Change[K, V]{Key: r.key, Old: r.value, row: r, had: r.present})
}

// settle compares every touched row with its state before the commit, keeps the
// real changes and wakes their readers.
func (t *Table[K, V]) settle(res *Result) {
	if len(t.changes) == 0 {
		return
	}
	kept := t.changes[:0]
	for i := range t.changes {
		ch := &t.changes[i]
		r := ch.row
		r.touched = false
		switch {
		case ch.had && r.present:
			if t.same(&ch.Old, &r.value) {
				r.value = ch.Old // the value that readers hold already
				continue
			}
			ch.Kind = Updated
		case ch.had:
			ch.Kind = Deleted
			t.live--
		case r.present:
			ch.Kind = Added
			t.live++
		default:
			t.release(r)
			continue
		}
		ch.New = r.value
		kept = append(kept, *ch)
	}
	clear(t.changes[len(kept):])
	t.changes = kept
	if len(kept) == 0 {
		return
	}
	if len(kept) > 1 {
		slices.SortFunc(kept, func(a, b Change[K, V]) int { return t.compare(a.Key, b.Key) })
		if t.g.check != nil {
			t.verify()
		}
	}
	for i := range kept {
		r := kept[i].row
		t.g.ledger.wake(r.site)
		t.release(r)
	}
	count(&res.Changed, t.name, len(kept))
}

// same is equal, but a panic of a value's Equal method means no.
func (t *Table[K, V]) same(a, b *V) (same bool) {
	defer func() {
		if recover() != nil {
			same = false
		}
	}()
	return t.equal(a, b)
}

func (t *Table[K, V]) forget() {
	clear(t.changes)
	t.changes = trim(t.changes)
}
