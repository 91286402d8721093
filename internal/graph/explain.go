// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"cmp"
	"fmt"
	"slices"
)

// Ref names something in the graph. For a row or a bucket that is read, Table is
// its table or index; for a reader, Table is the derived table and Key the input
// row whose evaluation reads.
type Ref struct {
	Table   string
	Key     any
	Present bool
}

// String returns the table and the key.
func (r Ref) String() string { return fmt.Sprintf("%s[%v]", r.Table, r.Key) }

// Explanation says why a row is what it is, and who would notice if it changed.
type Explanation struct {
	Ref
	// Value is the row's value; for a bucket, the number of its rows; nil if absent.
	Value any
	// Emitter is the input whose evaluation emitted the row, nil in a source or index.
	Emitter *Ref
	// Rivals are the inputs that emit the same key and lost.
	Rivals []Ref
	// Reads is what the emitter read in its last evaluation, its input included.
	Reads []Ref
	// Problems are those of the emitter.
	Problems []any
	// Readers are the inputs that are evaluated again when the row changes.
	Readers []Ref
}

// Explain looks up a row of a table, or a bucket of an index, by name. The key is
// given as the table's own type or as the text that fmt.Sprint makes of it, which
// takes a search. A key that is not there is no error: it may have readers.
func (g *Graph) Explain(table string, key any) (Explanation, error) {
	e := g.names[table]
	if e == nil {
		return Explanation{}, fmt.Errorf("there is no table %q", table)
	}
	return e.explain(key)
}

// keyOf turns the key of a caller into a key of the rows.
func keyOf[K comparable, R any](rows map[K]R, table string, key any) (K, error) {
	if k, ok := key.(K); ok {
		return k, nil
	}
	var none K
	text, ok := key.(string)
	if !ok {
		return none, fmt.Errorf("keys of table %q are of type %T, not %T", table, none, key)
	}
	for k := range rows {
		if fmt.Sprint(k) == text {
			return k, nil
		}
	}
	return none, fmt.Errorf("table %q has no key %q", table, text)
}

func (t *Table[K, V]) explain(key any) (Explanation, error) {
	k, err := keyOf(t.rows, t.name, key)
	if err != nil {
		return Explanation{}, err
	}
	e := Explanation{Ref: Ref{Table: t.name, Key: k}}
	r := t.rows[k]
	if r == nil {
		return e, nil
	}
	e.Readers = t.g.ledger.readersOf(r.site)
	if !r.present {
		return e, nil
	}
	e.Present, e.Value = true, r.value
	if r.owner != 0 {
		emitter := t.g.ledger.cells[r.owner]
		ref := emitter.ref()
		e.Emitter, e.Reads, e.Problems = &ref, t.g.ledger.readBy(emitter), emitter.problems()
	}
	return e, nil
}

func (d *derived[IK, IV, K, V]) explain(key any) (Explanation, error) {
	e, err := d.out.explain(key)
	if err != nil || !e.Present {
		return e, err
	}
	for _, l := range d.contested[d.out.rows[e.Key.(K)]] {
		e.Rivals = append(e.Rivals, d.cell(l.cell).ref())
	}
	sortRefs(e.Rivals)
	return e, nil
}

func (idx *Index[X, K, V]) explain(key any) (Explanation, error) {
	x, err := keyOf(idx.buckets, idx.name, key)
	if err != nil {
		return Explanation{}, err
	}
	e := Explanation{Ref: Ref{Table: idx.name, Key: x}}
	if b := idx.buckets[x]; b != nil {
		e.Readers = idx.g.ledger.readersOf(b.site)
		if len(b.members) > 0 {
			e.Present, e.Value = true, len(b.members)
		}
	}
	return e, nil
}

func (l *ledger) readersOf(id uint32) []Ref {
	var refs []Ref
	for _, e := range l.sites[id].readers {
		refs = append(refs, l.cells[e.cell].ref())
	}
	return sortRefs(refs)
}

func (l *ledger) readBy(w watcher) []Ref {
	var refs []Ref
	for _, r := range w.links() {
		refs = append(refs, l.sites[r.site].of.ref())
	}
	return sortRefs(refs)
}

func sortRefs(refs []Ref) []Ref {
	slices.SortFunc(refs, func(a, b Ref) int {
		return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(fmt.Sprint(a.Key), fmt.Sprint(b.Key)))
	})
	return refs
}
