// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"cmp"
	"testing"
)

func TestWiringFaults(t *testing.T) {
	type tables struct{ self, later *Table[int, int] }
	build := func(options []Option, fn func(*tables, *Ctx)) *Graph {
		g := New(options...)
		s := NewSource[int, int](g, "s", cmp.Compare[int])
		var ts tables
		ts.self = Derive(g, "self", s.Table(), cmp.Compare[int], func(c *Ctx, k, v int, emit func(int, int)) { fn(&ts, c) })
		ts.later = Derive(g, "later", s.Table(), cmp.Compare[int], func(*Ctx, int, int, func(int, int)) {})
		for i := range 100 {
			s.Set(i, i)
		}
		return g
	}
	other := NewSource[int, int](New(), "elsewhere", cmp.Compare[int])
	var leaked *Ctx
	for name, test := range map[string]struct {
		fn   func(*tables, *Ctx)
		text string
	}{
		"self":    {func(ts *tables, c *Ctx) { Get(c, ts.self, 1) }, `table "self" reads itself`},
		"later":   {func(ts *tables, c *Ctx) { Get(c, ts.later, 1) }, `"self" reads "later", which is built later`},
		"foreign": {func(_ *tables, c *Ctx) { Get(c, other.Table(), 1) }, `"elsewhere", which belongs to another graph`},
	} {
		for _, options := range [][]Option{nil, {Workers(4)}, {Check()}} {
			t.Run(name, func(t *testing.T) {
				g := build(options, test.fn)
				wantPanic(t, test.text, func() { g.Commit() })
			})
		}
	}
	g := build(nil, func(_ *tables, c *Ctx) { leaked = c })
	g.Commit()
	wantPanic(t, "evaluation is over", func() { Get(leaked, g.names["self"].(*derived[int, int, int, int]).in, 1) })
	wantPanic(t, "Commit is called while", func() {
		var g *Graph
		g = build(nil, func(*tables, *Ctx) { g.Commit() })
		g.Commit()
	})
	wantPanic(t, "written while a commit", func() {
		g := New()
		s := NewSource[int, int](g, "s", cmp.Compare[int])
		Derive(g, "d", s.Table(), cmp.Compare[int], func(*Ctx, int, int, func(int, int)) { s.Set(1, 2) })
		s.Set(1, 1)
		g.Commit()
	})
}

func TestConstructionFaults(t *testing.T) {
	g := New()
	s := NewSource[int, int](g, "s", cmp.Compare[int])
	idx := NewIndex(g, "i", s.Table(), cmp.Compare[int], func(k, _ int) []int { return []int{k} })
	wantPanic(t, `two tables named "s"`, func() { NewSource[int, int](g, "s", cmp.Compare[int]) })
	wantPanic(t, "needs a name", func() { NewSource[int, int](g, "", cmp.Compare[int]) })
	wantPanic(t, "compares keys", func() { NewSource[int, int](g, "c", nil) })
	wantPanic(t, "compares keys", func() { NewIndex[int](g, "c", s.Table(), nil, func(k, _ int) []int { return nil }) })
	wantPanic(t, "not in the graph", func() {
		Derive[int, int, int, int](New(), "d", s.Table(), cmp.Compare[int], nil)
	})
	wantPanic(t, "not in the graph", func() {
		NewIndex[int, int, int](New(), "d", nil, cmp.Compare[int], nil)
	})
	g.Commit()
	wantPanic(t, "after the first commit", func() { NewSource[int, int](g, "late", cmp.Compare[int]) })
	wantPanic(t, "after the first commit", func() { idx.Keys() })
}
