// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"cmp"
	"testing"
)

// checked commits ten rows through one function, with Check.
func checked(fn func(c *Ctx, t *Table[int, int], k, v int, emit func(int, int))) func() {
	return func() {
		g := New(Check())
		s := NewSource[int, int](g, "s", cmp.Compare[int])
		Derive(g, "d", s.Table(), cmp.Compare[int], func(c *Ctx, k, v int, emit func(int, int)) {
			fn(c, s.Table(), k, v, emit)
		})
		for i := range 10 {
			s.Set(i, i)
		}
		g.Commit()
	}
}

func TestCheckFindsImpureFunctions(t *testing.T) {
	calls, last := 0, 0
	wantPanic(t, "emitted different values", checked(func(_ *Ctx, _ *Table[int, int], k, _ int, emit func(int, int)) {
		calls++
		emit(k, calls)
	}))
	wantPanic(t, "emitted different values", checked(func(_ *Ctx, _ *Table[int, int], k, v int, emit func(int, int)) {
		emit(k, last) // depends on the order of the calls only
		last = v
	}))
	wantPanic(t, "emitted key", checked(func(_ *Ctx, _ *Table[int, int], k, _ int, emit func(int, int)) {
		calls++
		emit(1000+calls, k)
	}))
	wantPanic(t, "read different rows", checked(func(c *Ctx, s *Table[int, int], _, _ int, _ func(int, int)) {
		calls++
		Get(c, s, calls)
	}))
	wantPanic(t, "reported", checked(func(c *Ctx, _ *Table[int, int], _, _ int, _ func(int, int)) {
		calls++
		c.Report(calls)
	}))
	wantPanic(t, "kept its rows only once", checked(func(c *Ctx, _ *Table[int, int], _, _ int, _ func(int, int)) {
		if calls++; calls%2 == 0 {
			c.Keep("even")
		}
	}))
}

// The order of emissions is free; a function may walk a map.
func TestCheckAllowsAnyOrderOfEmissions(t *testing.T) {
	calls := 0
	checked(func(_ *Ctx, _ *Table[int, int], k, v int, emit func(int, int)) {
		calls++
		for i := range 4 {
			emit(10*k+(i+calls)%4, v)
		}
	})()
	if calls != 20 {
		t.Errorf("%d calls, want each of ten twice", calls)
	}
}

func TestCheckFindsBadOrders(t *testing.T) {
	wantPanic(t, `the order of table "s" does not put key`, func() {
		g := New(Check())
		s := NewSource[int, int](g, "s", func(a, b int) int { return cmp.Compare(a/2, b/2) })
		s.Set(2, 0)
		s.Set(3, 0)
		g.Commit()
	})
	wantPanic(t, "key function of index \"i\" is not pure", func() {
		g, calls := New(Check()), 0
		s := NewSource[int, int](g, "s", cmp.Compare[int])
		NewIndex(g, "i", s.Table(), cmp.Compare[int], func(int, int) []int {
			calls++
			return []int{calls}
		})
		s.Set(1, 1)
		g.Commit()
	})
	wantPanic(t, "is not total", func() {
		g := New(Check())
		s := NewSource[int, int](g, "s", func(a, b int) int { return cmp.Compare(a/2, b/2) })
		NewIndex(g, "i", s.Table(), cmp.Compare[int], func(int, int) []int { return []int{0} })
		for i := range 12 { // one per commit, so that the source itself cannot tell
			s.Set(i, i)
			g.Commit()
		}
	})
}
