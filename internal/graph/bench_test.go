// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"cmp"
	"fmt"
	"runtime"
	"testing"
)

// One changed row among n; the time must not depend on n.
func BenchmarkOneDirtyRow(b *testing.B) {
	for _, n := range []int{100, 10000, 100000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m := newMesh(n)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i++
				m.slices.Set(i%n, i+n)
				m.g.Commit()
			}
		})
	}
}

// A change that is equal to what is there already.
func BenchmarkResync(b *testing.B) {
	m := newMesh(10000)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		m.services.Set(i%10000, i%10000)
		m.g.Commit()
	}
}

func BenchmarkFirstLoad(b *testing.B) {
	for _, workers := range []int{1, 2} {
		b.Run(fmt.Sprintf("10000/workers=%d", workers), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				newMesh(10000, Workers(workers))
			}
		})
	}
}

// One summary row that everybody reads.
func BenchmarkFanOut(b *testing.B) {
	g, mode := fanOut(10000)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		mode.Set(0, i)
		g.Commit()
	}
}

// One row of a bucket of ten thousand comes and goes.
func BenchmarkLargeBucket(b *testing.B) {
	const n = 10000
	g := New()
	s := NewSource[int, int](g, "s", cmp.Compare[int])
	NewIndex(g, "i", s.Table(), cmp.Compare[int], func(int, int) []int { return []int{0} })
	for i := range n {
		s.Set(i, i)
	}
	g.Commit()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		s.Delete(i % n)
		g.Commit()
		s.Set(i%n, i%n)
		g.Commit()
	}
}

func fanOut(n int) (*Graph, *Source[int, int]) {
	g := New()
	rows := NewSource[int, int](g, "rows", cmp.Compare[int])
	mode := NewSource[int, int](g, "mode", cmp.Compare[int])
	Derive(g, "out", rows.Table(), cmp.Compare[int], func(c *Ctx, k, v int, emit func(int, int)) {
		m, _ := Get(c, mode.Table(), 0)
		emit(k, v+m)
	})
	for i := range n {
		rows.Set(i, i)
	}
	mode.Set(0, 1)
	g.Commit()
	return g, mode
}

// The allocations of a commit are a constant: those of Result, whatever the size
// of the graph and the number of rows that are evaluated.
func TestAllocations(t *testing.T) {
	i := 0
	m := newMesh(10000)
	measure := func(what string, most float64, f func()) {
		t.Helper()
		f()
		if got := testing.AllocsPerRun(200, f); got > most {
			t.Errorf("%s: %.1f allocations, want at most %.0f", what, got, most)
		}
	}
	measure("empty commit", 0, func() { m.g.Commit() })
	measure("resync", 0, func() {
		m.services.Set(5, 5)
		m.g.Commit()
	})
	measure("one dirty row", 9, func() {
		i++
		m.slices.Set(5, 20000+i)
		m.g.Commit()
	})
	g, mode := fanOut(1000)
	measure("a thousand readers", 20, func() {
		i++
		mode.Set(0, i)
		g.Commit()
	})
}

// A service of the small model is two source rows, three derived rows, three
// cells, one bucket and five edges.
func TestMemoryOfRows(t *testing.T) {
	const n = 10000
	before := heap()
	m := newMesh(n)
	m.g.Commit() // lets go of the changes
	each := float64(heap()-before) / n
	runtime.KeepAlive(m)
	t.Logf("%.0f bytes per service", each)
	if each > 1400 {
		t.Errorf("%.0f bytes per service, want at most 1400", each)
	}
}

// An edge costs 16 bytes, and the slack of growing slices at worst doubles that.
func TestMemoryOfEdges(t *testing.T) {
	const readers, reads = 2000, 100
	g := New()
	rows := NewSource[int, int](g, "rows", cmp.Compare[int])
	inputs := NewSource[int, int](g, "inputs", cmp.Compare[int])
	Derive(g, "out", inputs.Table(), cmp.Compare[int], func(c *Ctx, k, v int, _ func(int, int)) {
		for i := range v {
			Get(c, rows.Table(), (k*7+i)%1000)
		}
	})
	for i := range 1000 {
		rows.Set(i, i)
	}
	for i := range readers {
		inputs.Set(i, 0)
	}
	g.Commit()
	for i := range readers { // after the first evaluation, so that only edges are new
		inputs.Set(i, reads)
	}
	before := heap()
	g.Commit()
	g.Commit() // lets go of the changes
	after := heap()
	t.Logf("%.1f bytes per edge", float64(after-before)/(readers*reads))
	edges := g.Stats().Edges
	if edges != readers*(reads+1) {
		t.Fatalf("%d edges, want %d", edges, readers*(reads+1))
	}
	if each := float64(after-before) / (readers * reads); each > 32 {
		t.Errorf("%.1f bytes per edge, want at most 32", each)
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
