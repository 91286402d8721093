// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"cmp"
	"math/rand/v2"
	"testing"
)

// TestUnion: a key is there as long as any table has it, and only a key that comes
// or goes wakes anybody.
func TestUnion(t *testing.T) {
	g := New()
	a := NewSource[int, int](g, "a", cmp.Compare[int])
	b := NewSource[int, int](g, "b", cmp.Compare[int])
	keys := func(s *Source[int, int], name string) *Table[int, struct{}] {
		return NewIndex(g, name, s.Table(), cmp.Compare[int], func(k, _ int) []int { return []int{k} }).Keys()
	}
	u := Union(g, "u", cmp.Compare[int], keys(a, "a.keys"), keys(b, "b.keys"))
	d := Derive(g, "d", u, cmp.Compare[int], func(_ *Ctx, k int, _ struct{}, emit func(int, int)) { emit(k, k) })
	r := rand.New(rand.NewPCG(1, 2))
	has := map[*Source[int, int]]map[int]bool{a: {}, b: {}}
	for range 500 {
		before := map[int]bool{}
		for k := range 4 {
			before[k] = has[a][k] || has[b][k]
		}
		for range 1 + r.IntN(3) {
			s, k := a, r.IntN(4)
			if r.IntN(2) == 0 {
				s = b
			}
			if r.IntN(2) == 0 {
				s.Set(k, r.IntN(2))
			} else {
				s.Delete(k)
			}
			_, staged := s.staged[k]
			has[s][k] = staged && !s.staged[k].delete
		}
		res := g.Commit()
		came := 0
		for k := range 4 {
			want := has[a][k] || has[b][k]
			if _, ok := d.Row(k); ok != want {
				t.Fatalf("key %d: got %v, want %v", k, ok, want)
			}
			if want && !before[k] {
				came++
			}
		}
		if res.Evaluated["d"] != came {
			t.Fatalf("%d evaluations for %d keys that came", res.Evaluated["d"], came)
		}
	}
	wantPanic(t, "not in the graph", func() {
		Union(New(), "u", cmp.Compare[int], a.table.g.names["u"].(*union[int]).out)
	})
}
