// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A world is a graph of random shape whose functions read at random (but always
// the same for the same inputs): other tables, indexes, keys of indexes, present
// and absent rows, in numbers that depend on what they read before. Keys and
// values are few, so that inputs collide and outputs are often equal.
type world struct {
	g       *Graph
	sources []*Source[int, int]
	tables  []*Table[int, int]
	indexes []*Index[int, int, int]
	keys    []*Table[int, struct{}]
	style   style
	mirrors []mirror
	// told is Standing as it follows from Reports.
	told map[string]string

	lock   sync.Mutex
	traces map[string]string // by evaluation: all that it read last time
	wasted []string
}

// style says what the functions of a world may do.
type style struct {
	lastGood bool // they call Keep and panic: the result depends on history
	traced   bool // each evaluation notes what it read
	options  []Option
}

// mirror follows a table by its changes alone.
type mirror struct {
	table *Table[int, int]
	rows  map[int]int
}

const keySpace, valueSpace = 12, 30

func newWorld(shape uint64, st style) *world {
	w := &world{g: New(st.options...), style: st, told: map[string]string{}, traces: map[string]string{}}
	random := rand.New(rand.NewPCG(shape, 1))
	for i := range 2 + random.IntN(2) {
		s := NewSource[int, int](w.g, fmt.Sprintf("source%d", i), cmp.Compare[int])
		w.sources = append(w.sources, s)
		w.tables = append(w.tables, s.Table())
	}
	w.addIndex(random, 0)
	for i := range 3 + random.IntN(8) {
		switch random.IntN(4) {
		case 0:
			w.addIndex(random, i+1)
		case 1:
			w.addFromKeys(random, i)
		default:
			w.addTable(random, i)
		}
	}
	for _, t := range w.tables {
		w.mirrors = append(w.mirrors, mirror{t, map[int]int{}})
	}
	return w
}

func (w *world) addIndex(random *rand.Rand, i int) {
	salt := random.IntN(1000)
	idx := NewIndex(w.g, fmt.Sprintf("index%d", i), pick(random, w.tables), cmp.Compare[int],
		func(k, v int) []int {
			h := mix(salt, k, v)
			if w.style.lastGood && h%13 == 0 {
				panic("no keys")
			}
			buckets := []int{h % 4, h / 4 % 4, h / 16 % keySpace}
			return buckets[:h/256%4]
		})
	w.indexes = append(w.indexes, idx)
	w.keys = append(w.keys, idx.Keys())
}

func (w *world) addTable(random *rand.Rand, i int) {
	name := fmt.Sprintf("table%d", i)
	fn := w.function(random, name)
	w.tables = append(w.tables, Derive(w.g, name, pick(random, w.tables), cmp.Compare[int], fn))
}

func (w *world) addFromKeys(random *rand.Rand, i int) {
	name := fmt.Sprintf("table%d", i)
	fn := w.function(random, name)
	w.tables = append(w.tables, Derive(w.g, name, pick(random, w.keys), cmp.Compare[int],
		func(c *Ctx, k int, _ struct{}, emit func(int, int)) { fn(c, k, 0, emit) }))
}

// function makes up a function over the tables and indexes that exist by now.
func (w *world) function(random *rand.Rand, name string) func(*Ctx, int, int, func(int, int)) {
	tables, indexes, keys := slices.Clone(w.tables), slices.Clone(w.indexes), slices.Clone(w.keys)
	salt := random.IntN(1000)
	return func(c *Ctx, k, v int, emit func(int, int)) {
		h := mix(salt, k, v)
		trace := []any{k, v}
		for range h % 5 {
			switch at := h / 5 % (keySpace + 1); h / 100 % 4 {
			case 0, 1:
				got, ok := Get(c, tables[h/400%len(tables)], at)
				trace = append(trace, got, ok)
				h = mix(h, got, 1)
			case 2:
				rows := Lookup(c, indexes[h/400%len(indexes)], at)
				trace = append(trace, rows)
				for _, r := range rows {
					h = mix(h, r.Key, r.Value)
				}
			case 3:
				_, ok := Get(c, keys[h/400%len(keys)], at)
				trace = append(trace, ok)
				h = mix(h, len(fmt.Sprint(ok)), 2)
			}
		}
		w.trace(name, k, trace)
		if h%6 == 0 {
			c.Report(fmt.Sprintf("problem %d", h%3))
		}
		if w.style.lastGood && h%7 == 1 {
			c.Keep("kept")
		}
		for j := range h / 7 % 4 {
			emit(mix(h, j, 3)%keySpace, mix(h, j, 4)%3)
		}
		if w.style.lastGood && h%11 == 0 {
			panic("boom")
		}
	}
}

// trace notes what an evaluation read. If it is the same as last time, then the
// evaluation was for nothing.
func (w *world) trace(name string, k int, read []any) {
	if !w.style.traced {
		return
	}
	w.lock.Lock()
	defer w.lock.Unlock()
	at, text := fmt.Sprint(name, k), fmt.Sprint(read)
	if w.traces[at] == text {
		w.wasted = append(w.wasted, at+" "+text)
	}
	w.traces[at] = text
}

func mix(numbers ...int) int {
	h := uint64(14695981039346656037)
	for _, n := range numbers {
		h = (h ^ uint64(n)) * 1099511628211
		h ^= h >> 29
	}
	return int(h >> 2)
}

func pick[T any](random *rand.Rand, from []T) T { return from[random.IntN(len(from))] }

// step is one edit of a source, or a commit.
type step struct {
	commit, delete     bool
	source, key, value int
}

func randomSteps(random *rand.Rand, n int) []step {
	steps := make([]step, n)
	for i := range steps {
		steps[i] = step{
			commit: random.IntN(4) == 0, delete: random.IntN(3) == 0,
			source: random.IntN(3), key: random.IntN(keySpace), value: random.IntN(valueSpace),
		}
	}
	return steps
}

// apply performs a step and returns whether it was a commit.
func (w *world) apply(t *testing.T, s step) bool {
	source := w.sources[s.source%len(w.sources)]
	switch {
	case s.commit:
		w.commit(t)
		return true
	case s.delete:
		source.Delete(s.key)
	default:
		source.Set(s.key, s.value)
	}
	return false
}

// commit commits and checks that changes and reports tell the whole story.
func (w *world) commit(t *testing.T) Result {
	t.Helper()
	res := w.g.Commit()
	for _, m := range w.mirrors {
		m.follow(t)
	}
	for _, r := range w.g.Reports() {
		at := fmt.Sprint(r.Table, " ", r.Input)
		text := reportText(r)
		if w.told[at] == text {
			t.Fatalf("report %s was told twice: %s", at, text)
		}
		if len(r.Problems) == 0 && !r.Kept {
			delete(w.told, at)
			continue
		}
		w.told[at] = text
	}
	standing := map[string]string{}
	for _, r := range w.g.Standing() {
		standing[fmt.Sprint(r.Table, " ", r.Input)] = reportText(r)
	}
	if !maps.Equal(standing, w.told) {
		t.Fatalf("reports do not add up:\n standing %v\n told %v", standing, w.told)
	}
	return res
}

func reportText(r Report) string {
	var parts []string
	for _, p := range r.Problems {
		if p, ok := p.(Panic); ok {
			parts = append(parts, p.Error())
			continue
		}
		parts = append(parts, fmt.Sprint(p))
	}
	return fmt.Sprint(r.Kept, parts)
}

func (m mirror) follow(t *testing.T) {
	t.Helper()
	last := -1
	for _, ch := range m.table.Changes() {
		old, had := m.rows[ch.Key]
		if ch.Key <= last || had != (ch.Kind != Added) || old != ch.Old || ch.Kind == Updated && ch.Old == ch.New {
			t.Fatalf("table %s: change %+v does not fit: had %v, %d", m.table.name, ch, had, old)
		}
		last = ch.Key
		if ch.Kind == Deleted {
			delete(m.rows, ch.Key)
			continue
		}
		m.rows[ch.Key] = ch.New
	}
	if len(m.rows) != m.table.Len() {
		t.Fatalf("table %s has %d rows, its changes make %d", m.table.name, m.table.Len(), len(m.rows))
	}
	for k, v := range m.rows {
		if got, ok := m.table.Row(k); !ok || got != v {
			t.Fatalf("table %s, row %d: %d %v, its changes make %d", m.table.name, k, got, ok, v)
		}
	}
}

// state is all that can be seen of a world.
func (w *world) state() string {
	var text strings.Builder
	for _, t := range w.tables {
		fmt.Fprintf(&text, "%s: %s\n", t.name, rowsOf(t))
	}
	for i, t := range w.keys {
		fmt.Fprintf(&text, "%s: %s\n", t.name, rowsOf(t))
		t.Range(func(x int, _ struct{}) bool {
			fmt.Fprintf(&text, "  %d: %v\n", x, w.indexes[i].Bucket(x))
			return true
		})
	}
	for _, r := range w.g.Standing() {
		fmt.Fprintf(&text, "%s %v: %s\n", r.Table, r.Input, reportText(r))
	}
	return text.String()
}

// rebuilt is a world of the same shape that gets the rows of w in one commit.
func (w *world) rebuilt(t *testing.T, shape uint64) *world {
	fresh := newWorld(shape, style{})
	for i, s := range w.sources {
		for k, v := range s.Table().Range {
			fresh.sources[i].Set(k, v)
		}
	}
	fresh.commit(t)
	return fresh
}

// empty deletes all rows of all sources.
func (w *world) empty(t *testing.T) {
	for _, s := range w.sources {
		for k := range keySpace {
			s.Delete(k)
		}
	}
	w.commit(t)
}
