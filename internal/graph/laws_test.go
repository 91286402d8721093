// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// The laws that hold for any graph and any edits, on graphs of random shape.

func shapes(t *testing.T) int {
	if testing.Short() {
		return 30
	}
	return 60
}

// P1: after any edits in any batches, the tables, buckets and reports are those
// of a graph that got the same rows at once.
func TestIncrementalEqualsRebuild(t *testing.T) {
	rows, reports := 0, 0
	for shape := range uint64(shapes(t)) {
		w := newWorld(shape, style{options: []Option{Check()}})
		for i, s := range randomSteps(rand.New(rand.NewPCG(shape, 2)), 200) {
			if !w.apply(t, s) || i%3 != 0 {
				continue
			}
			if got, want := w.state(), w.rebuilt(t, shape).state(); got != want {
				t.Fatalf("shape %d, step %d: incremental\n%s\nrebuilt\n%s", shape, i, got, want)
			}
		}
		for _, table := range w.tables {
			rows += table.Len()
		}
		reports += len(w.told)
	}
	if rows < 1000 || reports < 100 {
		t.Errorf("the worlds are too empty to show anything: %d rows, %d reports", rows, reports)
	}
}

// FuzzIncrementalEqualsRebuild is P1, P2, P3 and P5 with edits made up by the
// fuzzer: three bytes are one step.
func FuzzIncrementalEqualsRebuild(f *testing.F) {
	f.Add(uint64(1), []byte("\x00\x01\x02\x01\x02\x03\xff\x00\x00\x80\x01\x02\xff\x00\x00"))
	f.Add(uint64(7), []byte("the quick brown fox jumps over the lazy dog\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, shape uint64, edits []byte) {
		if len(edits) > 3000 {
			edits = edits[:3000]
		}
		w := newWorld(shape, style{options: []Option{Check()}})
		for edit := range slices.Chunk(edits, 3) {
			if len(edit) < 3 {
				break
			}
			w.apply(t, step{
				commit: edit[0] >= 0xc0, delete: edit[0]&0x80 != 0,
				source: int(edit[0] & 3), key: int(edit[1]) % keySpace, value: int(edit[2]) % valueSpace,
			})
		}
		w.commit(t)
		if got, want := w.state(), w.rebuilt(t, shape).state(); got != want {
			t.Fatalf("incremental\n%s\nrebuilt\n%s", got, want)
		}
		w.empty(t)
		wantNothingLeft(t, w.g)
	})
}

// P2: how edits are cut into batches and, for different keys, in which order they
// come does not matter.
func TestBatchesDoNotMatter(t *testing.T) {
	for shape := range uint64(shapes(t)) {
		random := rand.New(rand.NewPCG(shape, 3))
		steps := randomSteps(random, 120)
		cut, whole, shuffled := newWorld(shape, style{}), newWorld(shape, style{}), newWorld(shape, style{})
		for _, s := range steps {
			cut.apply(t, s)
			if !s.commit {
				whole.apply(t, s)
			}
		}
		// The last edit of each key, in any order, with commits anywhere.
		last := map[[2]int]step{}
		for _, s := range steps {
			if !s.commit {
				last[[2]int{s.source % len(cut.sources), s.key}] = s
			}
		}
		for _, s := range last { // in the random order of the map
			shuffled.apply(t, s)
			if random.IntN(5) == 0 {
				shuffled.commit(t)
			}
		}
		for _, w := range []*world{cut, whole, shuffled} {
			w.commit(t)
		}
		if got, want := cut.state(), whole.state(); got != want {
			t.Fatalf("shape %d: many batches\n%s\none batch\n%s", shape, got, want)
		}
		if got, want := shuffled.state(), whole.state(); got != want {
			t.Fatalf("shape %d: shuffled\n%s\none batch\n%s", shape, got, want)
		}
	}
}

// P3, for the engine's part: goroutines and repeated, shuffled evaluation change
// nothing, not even the work that is counted. TestCheck* show what Check finds.
func TestOptionsDoNotMatter(t *testing.T) {
	for shape := range uint64(shapes(t)) {
		worlds := []*world{
			newWorld(shape, style{lastGood: true}),
			newWorld(shape, style{lastGood: true, options: []Option{Workers(3)}}),
			newWorld(shape, style{lastGood: true, options: []Option{Check(), Workers(2)}}),
		}
		for i, s := range randomSteps(rand.New(rand.NewPCG(shape, 4)), 100) {
			if !s.commit {
				for _, w := range worlds {
					w.apply(t, s)
				}
				continue
			}
			first := worlds[0].commit(t)
			for j, w := range worlds[1:] {
				if got, want := fmt.Sprint(w.commit(t)), fmt.Sprint(first); got != want {
					t.Fatalf("shape %d, step %d: variant %d did %s, want %s", shape, i, j, got, want)
				}
				if got, want := w.state(), worlds[0].state(); got != want {
					t.Fatalf("shape %d, step %d: variant %d\n%s\nwant\n%s", shape, i, j, got, want)
				}
			}
		}
	}
}

// P4: nothing is evaluated unless something that it read has changed.
func TestNoEvaluationForNothing(t *testing.T) {
	evaluated := 0
	for shape := range uint64(shapes(t)) {
		w := newWorld(shape, style{traced: true})
		for _, s := range w.sources {
			for k := range keySpace {
				s.Set(k, k)
			}
		}
		w.commit(t)
		for _, s := range randomSteps(rand.New(rand.NewPCG(shape, 5)), 200) {
			s.delete = false // inputs of derived tables still come and go
			if w.apply(t, s) {
				w.dropGone()
			}
		}
		if len(w.wasted) > 0 {
			t.Fatalf("shape %d: evaluated for nothing: %v", shape, w.wasted)
		}
		evaluated += int(w.g.Stats().Evaluated)
	}
	if evaluated < 10000 {
		t.Errorf("only %d evaluations: shows too little", evaluated)
	}
}

// P4: the work of a commit is a constant, whatever the number of rows.
func TestWorkDoesNotGrow(t *testing.T) {
	for _, n := range []int{10, 1000, 10000} {
		m := newMesh(n)
		if got, want := m.g.Stats().Evaluated, uint64(3*n); got != want {
			t.Errorf("%d services: first load evaluated %d, want %d", n, got, want)
		}
		m.slices.Set(n/2, 1000)
		wantWork(t, m.g.Commit(), map[string]int{"endpoints": 1, "summaries": 1})
		m.slices.Set(n/2, -1000)
		wantWork(t, m.g.Commit(), map[string]int{"endpoints": 1, "summaries": 1, "clusters": 1})
		m.services.Set(n/2, n/2) // a resync
		wantWork(t, m.g.Commit(), map[string]int{})
		m.services.Set(n/2, 1)
		wantWork(t, m.g.Commit(), map[string]int{"endpoints": 1, "clusters": 1})
	}
}

// P5: when all rows are deleted, nothing is left, whatever happened before.
func TestNothingIsLeft(t *testing.T) {
	for shape := range uint64(shapes(t)) {
		w := newWorld(shape, style{lastGood: true})
		for _, s := range randomSteps(rand.New(rand.NewPCG(shape, 6)), 200) {
			w.apply(t, s)
		}
		w.commit(t)
		w.empty(t)
		wantNothingLeft(t, w.g)
		if len(w.told) != 0 {
			t.Errorf("shape %d: reports were not taken back: %v", shape, w.told)
		}
		if got, want := w.state(), newWorld(shape, style{}).state(); got != want {
			t.Errorf("shape %d: left over\n%s", shape, got)
		}
	}
}

// dropGone forgets the traces of inputs that do not exist any more.
func (w *world) dropGone() {
	alive := map[string]bool{}
	for _, c := range w.g.ledger.cells {
		if c != nil {
			ref := c.ref()
			alive[fmt.Sprint(ref.Table, ref.Key)] = true
		}
	}
	for at := range w.traces {
		if !alive[at] {
			delete(w.traces, at)
		}
	}
}

// mesh is a small model of the real thing: services with one slice of endpoints
// each, and clusters that only depend on a summary of the endpoints.
type mesh struct {
	g                *Graph
	services, slices *Source[int, int]
	clusters         *Table[int, int]
}

func newMesh(n int, options ...Option) *mesh {
	g := New(options...)
	m := &mesh{
		g:        g,
		services: NewSource[int, int](g, "services", cmp.Compare[int]),
		slices:   NewSource[int, int](g, "slices", cmp.Compare[int]),
	}
	byService := NewIndex(g, "slices.byService", m.slices.Table(), cmp.Compare[int],
		func(k, _ int) []int { return []int{k} })
	endpoints := Derive(g, "endpoints", m.services.Table(), cmp.Compare[int],
		func(c *Ctx, k, v int, emit func(int, int)) {
			sum := 0
			for _, s := range Each(c, byService, k) {
				sum += s
			}
			emit(k, sum)
		})
	summaries := Derive(g, "summaries", endpoints, cmp.Compare[int],
		func(_ *Ctx, k, v int, emit func(int, bool)) { emit(k, v >= 0) })
	m.clusters = Derive(g, "clusters", m.services.Table(), cmp.Compare[int],
		func(c *Ctx, k, v int, emit func(int, int)) {
			if healthy, _ := Get(c, summaries, k); healthy {
				v = -v
			}
			emit(k, v)
		})
	for i := range n {
		m.services.Set(i, i)
		m.slices.Set(i, i)
	}
	g.Commit()
	return m
}
