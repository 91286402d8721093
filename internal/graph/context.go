// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"fmt"
	"iter"
)

// Ctx is one evaluation of one function. It records what the function reads and
// what it has to say about its input. It is valid until the function returns.
type Ctx struct {
	g     *Graph
	name  string
	order int
	open  bool
	cell  any // that is evaluated, a pointer to cell

	reads    []uint32
	fresh    []pending
	problems []any
	kept     bool
}

// wiring is the panic value for a graph that is put together wrongly. Unlike the
// panic of a function, it is not turned into a report.
type wiring string

func (w wiring) Error() string { return string(w) }

// Get returns the row of t with key k and whether there is one. The read is
// recorded either way: a function that asked for an absent row is evaluated again
// when the row appears. t must have been built before the reading table.
func Get[K comparable, V any](c *Ctx, t *Table[K, V], k K) (V, bool) {
	c.admit(t.g, t.name, t.order)
	r := t.rows[k]
	if r == nil {
		c.fresh = append(c.fresh, &miss[K, V]{table: t, key: k})
		var none V
		return none, false
	}
	if r.site != 0 {
		c.reads = append(c.reads, r.site)
	} else {
		c.fresh = append(c.fresh, r)
	}
	return r.value, r.present
}

// Lookup returns the rows of one bucket of an index, sorted by key, and records
// the bucket: the function is evaluated again when a row of the bucket is added,
// updated or deleted. The slice belongs to the caller. Who only wants to know
// whether the bucket is empty calls Get on Index.Keys.
func Lookup[X, K comparable, V any](c *Ctx, idx *Index[X, K, V], x X) []Row[K, V] {
	b := idx.read(c, x)
	if b == nil || len(b.members) == 0 {
		return nil
	}
	rows := make([]Row[K, V], len(b.members))
	for i, r := range b.members {
		rows[i] = Row[K, V]{Key: r.key, Value: r.value}
	}
	return rows
}

// Each is Lookup without the slice: it iterates over the bucket in the order of
// the keys. The whole bucket is recorded, even if the loop ends early.
func Each[X, K comparable, V any](c *Ctx, idx *Index[X, K, V], x X) iter.Seq2[K, V] {
	b := idx.read(c, x)
	return func(yield func(K, V) bool) { b.each(yield) } // small enough to be inlined
}

// Keep discards what this evaluation emits and leaves the rows that the input
// emitted before, if any, in place: the last good state is served on. problem is
// attached to the input like with Report; nil attaches nothing.
func (c *Ctx) Keep(problem any) {
	c.kept = true
	c.Report(problem)
}

// Standing returns the rows that the last evaluation of the same input emitted and
// still owns, in the order of emission. It is for functions that serve on what was
// good before, in part or as a whole: what they emit depends on the past, so a graph
// that is built anew may differ until nothing is to be served on. The types must be
// those of the table.
func Standing[K comparable, V any](c *Ctx) []Row[K, V] {
	s, ok := c.cell.(interface{ standing() []Row[K, V] })
	if !ok || !c.open {
		panic(wiring(fmt.Sprintf("graph: table %q asks for standing rows of other types than its own", c.name)))
	}
	return s.standing()
}

// Report attaches a problem to the input row that is being evaluated. It stands
// until an evaluation of the same input does not report it, or the input is
// deleted. nil is ignored. Problems are compared with reflect.DeepEqual, so they
// should be plain values.
func (c *Ctx) Report(problem any) {
	if problem != nil {
		c.problems = append(c.problems, problem)
	}
}

// admit panics unless the function may read the table or index.
func (c *Ctx) admit(g *Graph, name string, order int) {
	switch {
	case !c.open:
		panic(wiring(fmt.Sprintf("graph: %q is read through a context whose evaluation is over", name)))
	case g != c.g:
		panic(wiring(fmt.Sprintf("graph: table %q reads %q, which belongs to another graph", c.name, name)))
	case order == c.order:
		panic(wiring(fmt.Sprintf("graph: table %q reads itself", c.name)))
	case order > c.order:
		panic(wiring(fmt.Sprintf("graph: table %q reads %q, which is built later; build it first", c.name, name)))
	}
}
