// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// mustPanic runs f and returns the text of its panic.
func mustPanic(t *testing.T, f func()) (text string) {
	t.Helper()
	defer func() {
		t.Helper()
		reason := recover()
		if reason == nil {
			t.Fatal("no panic")
		}
		text = fmt.Sprint(reason)
	}()
	f()
	return ""
}

func wantPanic(t *testing.T, part string, f func()) {
	t.Helper()
	if text := mustPanic(t, f); !strings.Contains(text, part) {
		t.Errorf("panic %q does not say %q", text, part)
	}
}

// rowsOf returns a table as text, "k=v k=v".
func rowsOf[K comparable, V any](t *Table[K, V]) string {
	var parts []string
	t.Range(func(k K, v V) bool {
		parts = append(parts, fmt.Sprintf("%v=%v", k, v))
		return true
	})
	return strings.Join(parts, " ")
}

func changesOf[K comparable, V any](t *Table[K, V]) string {
	var parts []string
	for _, ch := range t.Changes() {
		parts = append(parts, fmt.Sprintf("%v %v %v>%v", ch.Kind, ch.Key, ch.Old, ch.New))
	}
	return strings.Join(parts, ", ")
}

func want(t *testing.T, what, got, expected string) {
	t.Helper()
	if got != expected {
		t.Errorf("%s:\n got %q\nwant %q", what, got, expected)
	}
}

func wantWork(t *testing.T, res Result, evaluated map[string]int) {
	t.Helper()
	if !maps.Equal(res.Evaluated, evaluated) {
		t.Errorf("evaluated %v, want %v", res.Evaluated, evaluated)
	}
}

// wantNothingLeft asserts law P5 on a graph whose sources are empty.
func wantNothingLeft(t *testing.T, g *Graph) {
	t.Helper()
	s := g.Stats()
	if s.Edges != 0 || s.Sites != 0 || s.Cells != 0 {
		t.Errorf("left over: %d edges, %d sites, %d cells", s.Edges, s.Sites, s.Cells)
	}
	for _, ts := range s.Tables {
		if ts.Rows != 0 || ts.Awaited != 0 || ts.Contested != 0 || ts.Troubled != 0 {
			t.Errorf("left over: %+v", ts)
		}
	}
	for id, at := range g.ledger.sites {
		if at.of != nil || at.readers != nil {
			t.Errorf("site %d is not free", id)
		}
	}
	for id, w := range g.ledger.cells {
		if w != nil {
			t.Errorf("cell %d is not free", id)
		}
	}
	if standing := g.Standing(); len(standing) != 0 {
		t.Errorf("left over reports: %v", standing)
	}
}

func TestReadmeExample(t *testing.T) {
	type service struct {
		host string
		port int
	}
	g := New(Check())
	services := NewSource[string, service](g, "services", cmp.Compare[string])
	pods := NewSource[string, string](g, "pods", cmp.Compare[string]) // pod -> service
	byService := NewIndex(g, "pods.byService", pods.Table(), cmp.Compare[string],
		func(_, s string) []string { return []string{s} })
	hosts := Derive(g, "hosts", services.Table(), cmp.Compare[string],
		func(c *Ctx, name string, s service, emit func(string, string)) {
			var parts []string
			for pod := range Each(c, byService, name) {
				parts = append(parts, fmt.Sprintf("%s:%d", pod, s.port))
			}
			emit(s.host, strings.Join(parts, ","))
		})

	services.Set("a", service{"a.example", 80})
	services.Set("b", service{"b.example", 81})
	pods.Set("p1", "a")
	pods.Set("p2", "b")
	pods.Set("p3", "a")
	wantWork(t, g.Commit(), map[string]int{"hosts": 2})
	want(t, "hosts", rowsOf(hosts), "a.example=p1:80,p3:80 b.example=p2:81")

	pods.Set("p2", "a")
	wantWork(t, g.Commit(), map[string]int{"hosts": 2})
	want(t, "changes", changesOf(hosts), "updated a.example p1:80,p3:80>p1:80,p2:80,p3:80, updated b.example p2:81>")

	services.Set("a", service{"z.example", 80})
	res := g.Commit()
	want(t, "changes", changesOf(hosts), "deleted a.example p1:80,p2:80,p3:80>, added z.example >p1:80,p2:80,p3:80")
	if want := map[string]int{"services": 1, "hosts": 2}; !reflect.DeepEqual(res.Changed, want) {
		t.Errorf("changed %v, want %v", res.Changed, want)
	}

	for _, name := range []string{"a", "b"} {
		services.Delete(name)
	}
	for _, name := range []string{"p1", "p2", "p3", "p4"} {
		pods.Delete(name)
	}
	g.Commit()
	wantNothingLeft(t, g)
}

func TestSourceStages(t *testing.T) {
	g := New()
	s := NewSource[int, int](g, "s", cmp.Compare[int])
	s.Set(1, 10)
	s.Set(2, 20)
	s.Set(2, 21)
	s.Set(3, 30)
	s.Delete(3)
	s.Delete(4)
	if _, ok := s.Table().Row(1); ok {
		t.Error("a staged row is visible before the commit")
	}
	if got := s.Staged(); got != 4 {
		t.Errorf("staged %d, want 4", got)
	}
	g.Commit()
	want(t, "rows", rowsOf(s.Table()), "1=10 2=21")
	want(t, "changes", changesOf(s.Table()), "added 1 0>10, added 2 0>21")

	s.Delete(1)
	s.Set(1, 10)
	s.Set(2, 22)
	g.Commit()
	want(t, "changes", changesOf(s.Table()), "updated 2 21>22")
	if got := s.Table().Len(); got != 2 {
		t.Errorf("length %d, want 2", got)
	}
	if res := g.Commit(); len(res.Changed) != 0 || len(s.Table().Changes()) != 0 {
		t.Error("an empty commit changed something")
	}
}

// A row that a function asked for in vain wakes it when it appears.
func TestMissesCount(t *testing.T) {
	g := New(Check())
	names := NewSource[string, string](g, "names", cmp.Compare[string])
	values := NewSource[string, int](g, "values", cmp.Compare[string])
	out := Derive(g, "out", names.Table(), cmp.Compare[string],
		func(c *Ctx, k, ref string, emit func(string, string)) {
			v, ok := Get(c, values.Table(), ref)
			emit(k, fmt.Sprint(v, ok))
		})
	names.Set("x", "v")
	names.Set("y", "w")
	g.Commit()
	want(t, "rows", rowsOf(out), "x=0 false y=0 false")
	if st := g.Stats(); st.Tables[1].Awaited != 2 {
		t.Errorf("awaited %d rows, want 2", st.Tables[1].Awaited)
	}
	values.Set("v", 7)
	values.Set("unrelated", 8)
	wantWork(t, g.Commit(), map[string]int{"out": 1})
	want(t, "rows", rowsOf(out), "x=7 true y=0 false")
	values.Delete("v")
	wantWork(t, g.Commit(), map[string]int{"out": 1})
	want(t, "rows", rowsOf(out), "x=0 false y=0 false")

	// Reads are those of the last evaluation.
	names.Set("x", "unrelated")
	g.Commit()
	values.Set("v", 9)
	wantWork(t, g.Commit(), map[string]int{})
}

func TestMissedBucketWakes(t *testing.T) {
	g := New(Check())
	s := NewSource[string, string](g, "s", cmp.Compare[string])
	members := NewSource[int, string](g, "members", cmp.Compare[int])
	idx := NewIndex(g, "byGroup", members.Table(), cmp.Compare[string], func(_ int, v string) []string { return strings.Fields(v) })
	keys := idx.Keys()
	out := Derive(g, "out", s.Table(), cmp.Compare[string], func(c *Ctx, k, v string, emit func(string, string)) {
		emit(k, fmt.Sprint(Lookup(c, idx, v)))
	})
	has := Derive(g, "has", s.Table(), cmp.Compare[string], func(c *Ctx, k, v string, emit func(string, bool)) {
		_, ok := Get(c, keys, v)
		emit(k, ok)
	})
	s.Set("a", "red")
	g.Commit()
	want(t, "out", rowsOf(out), "a=[]")
	want(t, "has", rowsOf(has), "a=false")

	members.Set(1, "red green red")
	members.Set(2, "green")
	wantWork(t, g.Commit(), map[string]int{"out": 1, "has": 1})
	want(t, "out", rowsOf(out), "a=[{1 red green red}]")
	want(t, "keys", changesOf(keys), "added green {}>{}, added red {}>{}")

	members.Set(2, "red")
	wantWork(t, g.Commit(), map[string]int{"out": 1})
	want(t, "out", rowsOf(out), "a=[{1 red green red} {2 red}]")
	want(t, "has", rowsOf(has), "a=true")

	members.Set(1, "red blue")
	g.Commit()
	want(t, "keys", changesOf(keys), "added blue {}>{}, deleted green {}>{}")
	if got := fmt.Sprint(idx.Bucket("red"), idx.Bucket("green")); got != "[{1 red blue} {2 red}] []" {
		t.Errorf("buckets %s", got)
	}

	members.Delete(1)
	members.Delete(2)
	g.Commit()
	want(t, "out", rowsOf(out), "a=[]")
	want(t, "has", rowsOf(has), "a=false")
	s.Delete("a")
	g.Commit()
	wantNothingLeft(t, g)
}

func TestManyReadersOfOneRow(t *testing.T) {
	g := New()
	s := NewSource[int, int](g, "s", cmp.Compare[int])
	mode := NewSource[string, int](g, "mode", cmp.Compare[string])
	out := Derive(g, "out", s.Table(), cmp.Compare[int], func(c *Ctx, k, v int, emit func(int, int)) {
		m, _ := Get(c, mode.Table(), "mode")
		emit(k, v+m)
	})
	const n = 1000
	for i := range n {
		s.Set(i, i)
	}
	g.Commit()
	if got := g.Stats().Edges; got != 2*n {
		t.Errorf("%d edges, want %d", got, 2*n)
	}
	mode.Set("mode", 5)
	wantWork(t, g.Commit(), map[string]int{"out": n})
	for i := n - 1; i >= 0; i -= 2 { // removes readers out of order
		s.Delete(i)
	}
	g.Commit()
	mode.Set("mode", 6)
	wantWork(t, g.Commit(), map[string]int{"out": n / 2})
	if v, _ := out.Row(10); v != 16 {
		t.Errorf("row 10 is %d, want 16", v)
	}
	mode.Delete("mode")
	for i := range n {
		s.Delete(i)
	}
	g.Commit()
	wantNothingLeft(t, g)
}

// Large edits of a bucket are merged in one pass, small ones row by row.
func TestBucketsStaySorted(t *testing.T) {
	g := New(Check())
	s := NewSource[int, int](g, "s", cmp.Compare[int])
	idx := NewIndex(g, "i", s.Table(), cmp.Compare[int], func(_, v int) []int { return []int{v} })
	rows := map[int]int{}
	for round, size := range []int{100, 3, 40, 9, 1, 200, 50} {
		for i := range size {
			k, v := (i*37+round*11)%97, (i+round)%3
			rows[k] = v
			s.Set(k, v)
		}
		for i := range size / 3 {
			k := (i*31 + round) % 97
			delete(rows, k)
			s.Delete(k)
		}
		g.Commit()
		for v := range 3 {
			var expected []Row[int, int]
			for _, k := range slices.Sorted(maps.Keys(rows)) {
				if rows[k] == v {
					expected = append(expected, Row[int, int]{k, v})
				}
			}
			if got := idx.Bucket(v); !slices.Equal(got, expected) {
				t.Fatalf("round %d, bucket %d: %v, want %v", round, v, got, expected)
			}
		}
	}
}

// A function that serves on what stood before sees the rows that its input owns: none
// at first, none that another input has taken, and none after the input was away.
func TestStandingRows(t *testing.T) {
	g := New(Check())
	s := NewSource[int, int](g, "s", cmp.Compare[int])
	out := Derive(g, "out", s.Table(), cmp.Compare[int], func(c *Ctx, k, v int, emit func(int, int)) {
		if v >= 0 {
			emit(k, v)
			emit(100, v)
			return
		}
		for _, row := range Standing[int, int](c) {
			emit(row.Key, row.Value)
		}
	})
	expect := func(want map[int]int) {
		t.Helper()
		g.Commit()
		got := map[int]int{}
		for k, v := range out.Range {
			got[k] = v
		}
		if !maps.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	}
	s.Set(1, -1)
	expect(map[int]int{})
	s.Set(1, 11)
	s.Set(2, 22)
	expect(map[int]int{1: 11, 2: 22, 100: 11})
	s.Set(1, -1)
	s.Set(2, -1)
	expect(map[int]int{1: 11, 2: 22, 100: 11})
	s.Delete(1)
	expect(map[int]int{2: 22})
	s.Set(1, -1)
	expect(map[int]int{2: 22})
}

func TestRangeStops(t *testing.T) {
	g := New()
	s := NewSource[int, int](g, "s", cmp.Compare[int])
	for i := range 10 {
		s.Set(9-i, i)
	}
	g.Commit()
	var seen []int
	for k := range s.Table().Range {
		if seen = append(seen, k); k == 2 {
			break
		}
	}
	if !slices.Equal(seen, []int{0, 1, 2}) {
		t.Errorf("saw %v", seen)
	}
}
