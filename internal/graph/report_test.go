// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func reportsOf(reports []Report) string {
	var parts []string
	for _, r := range reports {
		text := fmt.Sprintf("%s %v", r.Table, r.Input)
		if r.Kept {
			text += " kept"
		}
		for _, p := range r.Problems {
			text += fmt.Sprintf(" (%v)", p)
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}

// owners is a table from owner to the keys that it emits, as "key key".
func owners(options ...Option) (*Graph, *Source[int, string], *Table[string, string]) {
	g := New(options...)
	s := NewSource[int, string](g, "owners", cmp.Compare[int])
	out := Derive(g, "claims", s.Table(), cmp.Compare[string], func(_ *Ctx, k int, v string, emit func(string, string)) {
		for i, key := range strings.Fields(v) {
			emit(key, fmt.Sprintf("%d.%d", k, i))
		}
	})
	return g, s, out
}

func TestSmallestInputHasTheKey(t *testing.T) {
	g, s, out := owners(Check())
	s.Set(2, "a")
	s.Set(3, "a b")
	g.Commit()
	want(t, "rows", rowsOf(out), "a=2.0 b=3.1")
	want(t, "reports", reportsOf(g.Reports()),
		`claims 3 (3 emits key a of table "claims", which belongs to 2; remove it from one of them)`)

	s.Set(1, "a") // a smaller one takes the key away, and both others hear of it
	g.Commit()
	want(t, "changes", changesOf(out), "updated a 2.0>1.0")
	want(t, "reports", reportsOf(g.Reports()),
		`claims 2 (2 emits key a of table "claims", which belongs to 1; remove it from one of them); `+
			`claims 3 (3 emits key a of table "claims", which belongs to 1; remove it from one of them)`)
	if got := g.Stats().Tables[1]; got.Contested != 1 || got.Troubled != 2 {
		t.Errorf("stats %+v", got)
	}

	s.Set(3, "b a") // the loser's new emission waits
	g.Commit()
	want(t, "changes", changesOf(out), "updated b 3.1>3.0")
	want(t, "reports", reportsOf(g.Reports()), "")

	s.Delete(1)
	s.Set(2, "")
	g.Commit()
	want(t, "rows", rowsOf(out), "a=3.1 b=3.0")
	want(t, "reports", reportsOf(g.Reports()), "claims 2; claims 3")

	s.Set(4, "b")
	g.Commit()
	s.Delete(4) // a loser withdraws
	g.Commit()
	want(t, "changes", changesOf(out), "")
	want(t, "reports", reportsOf(g.Reports()), "claims 4")
	s.Delete(2)
	s.Delete(3)
	g.Commit()
	wantNothingLeft(t, g)
}

// The winner and the loser change places within one commit.
func TestKeyMovesWithinOneCommit(t *testing.T) {
	g, s, out := owners(Check())
	s.Set(1, "x")
	s.Set(2, "y")
	g.Commit()
	s.Set(1, "y")
	s.Set(2, "x")
	g.Commit()
	want(t, "changes", changesOf(out), "updated x 1.0>2.0, updated y 2.0>1.0")
	want(t, "reports", reportsOf(g.Reports()), "")
	if n := g.Stats().Tables[1].Contested; n != 0 {
		t.Errorf("%d contested rows, want none", n)
	}
}

func TestOneInputEmitsAKeyTwice(t *testing.T) {
	g, s, out := owners(Check())
	s.Set(1, "a a b")
	g.Commit()
	want(t, "rows", rowsOf(out), "a=1.0 b=1.2")
	want(t, "reports", reportsOf(g.Reports()),
		`claims 1 (1 emits key a of table "claims" more than once; only the first counts)`)
	s.Set(1, "a b")
	g.Commit()
	want(t, "rows", rowsOf(out), "a=1.0 b=1.1")
	want(t, "reports", reportsOf(g.Reports()), "claims 1")
}

// parser emits numbers, keeps the last good one for what is not a number, drops
// negative ones with a report, and panics on "panic".
func parser(options ...Option) (*Graph, *Source[string, string], *Table[string, int]) {
	g := New(options...)
	s := NewSource[string, string](g, "texts", cmp.Compare[string])
	out := Derive(g, "numbers", s.Table(), cmp.Compare[string], func(c *Ctx, k, v string, emit func(string, int)) {
		var n int
		emit(k, -1)
		if strings.HasPrefix(v, "panic") {
			panic(errors.New(v))
		}
		if _, err := fmt.Sscan(v, &n); err != nil {
			c.Keep(fmt.Sprintf("%q is not a number", v))
			return
		}
		if n < 0 {
			c.Report(fmt.Sprintf("%d is negative", n))
		}
		emit(k+"!", n)
	})
	return g, s, out
}

func TestKeepServesTheLastGoodRows(t *testing.T) {
	g, s, out := parser(Check())
	s.Set("a", "1")
	s.Set("b", "x") // never was good
	g.Commit()
	want(t, "rows", rowsOf(out), "a=-1 a!=1")
	want(t, "reports", reportsOf(g.Reports()), `numbers b kept ("x" is not a number)`)

	s.Set("a", "y")
	g.Commit()
	want(t, "rows", rowsOf(out), "a=-1 a!=1")
	want(t, "changes", changesOf(out), "")
	want(t, "reports", reportsOf(g.Reports()), `numbers a kept ("y" is not a number)`)

	s.Set("a", "-2")
	g.Commit()
	want(t, "rows", rowsOf(out), "a=-1 a!=-2")
	want(t, "reports", reportsOf(g.Reports()), `numbers a (-2 is negative)`)
	want(t, "standing", reportsOf(g.Standing()), `numbers a (-2 is negative); numbers b kept ("x" is not a number)`)

	s.Set("a", " -2") // another input, the same problem: nothing to tell
	wantWork(t, g.Commit(), map[string]int{"numbers": 1})
	want(t, "reports", reportsOf(g.Reports()), "")

	s.Set("a", "z")
	s.Set("b", "3")
	g.Commit()
	want(t, "reports", reportsOf(g.Reports()), `numbers a kept ("z" is not a number); numbers b`)
	s.Delete("a")
	s.Delete("b")
	g.Commit()
	want(t, "reports", reportsOf(g.Reports()), "numbers a")
	want(t, "rows", rowsOf(out), "")
	wantNothingLeft(t, g)
}

func TestPanicKeepsTheRowsAndIsReported(t *testing.T) {
	for _, options := range [][]Option{nil, {Workers(4)}, {Check()}} {
		g, s, out := parser(options...)
		for i := range 100 {
			s.Set(fmt.Sprintf("k%02d", i), "1")
		}
		g.Commit()
		s.Set("k42", "panic now")
		s.Set("k43", "2")
		res := g.Commit()
		if res.Panics != 1 || g.Stats().Panics != 1 {
			t.Errorf("panics: %d in the commit, %d in all, want 1", res.Panics, g.Stats().Panics)
		}
		want(t, "changes", changesOf(out), "updated k43! 1>2")
		want(t, "reports", reportsOf(g.Reports()), `numbers k42 kept (table "numbers" panicked on input k42: panic now)`)
		p, ok := g.Reports()[0].Problems[0].(Panic)
		if !ok || !strings.Contains(p.Stack, "report_test.go") {
			t.Errorf("the stack does not show the function: %+v", p)
		}
		s.Set("k42", "panic now ") // another text
		g.Commit()
		want(t, "reports", reportsOf(g.Reports()), `numbers k42 kept (table "numbers" panicked on input k42: panic now )`)
		s.Set("k42", "5")
		g.Commit()
		want(t, "changes", changesOf(out), "updated k42! 1>5")
		want(t, "reports", reportsOf(g.Reports()), "numbers k42")
	}
}

func TestKeepWithoutProblem(t *testing.T) {
	g := New(Check())
	s := NewSource[int, int](g, "s", cmp.Compare[int])
	out := Derive(g, "d", s.Table(), cmp.Compare[int], func(c *Ctx, k, v int, emit func(int, int)) {
		if v < 0 {
			c.Keep(nil)
		}
		emit(k, v)
	})
	s.Set(1, 1)
	g.Commit()
	s.Set(1, -1)
	g.Commit()
	want(t, "rows", rowsOf(out), "1=1")
	want(t, "reports", reportsOf(g.Reports()), "d 1 kept")
	s.Set(1, 2)
	g.Commit()
	want(t, "reports", reportsOf(g.Reports()), "d 1")
}

// A row whose key function panics stays in its buckets, with its new value.
func TestIndexPanicKeepsTheBuckets(t *testing.T) {
	g := New(Check())
	s := NewSource[int, string](g, "s", cmp.Compare[int])
	idx := NewIndex(g, "i", s.Table(), cmp.Compare[string], func(_ int, v string) []string {
		if strings.Contains(v, "panic") {
			panic(v)
		}
		return strings.Fields(v)
	})
	s.Set(1, "a b")
	s.Set(2, "panic first")
	if res := g.Commit(); res.Panics != 1 {
		t.Errorf("%d panics, want 1", res.Panics)
	}
	want(t, "reports", reportsOf(g.Reports()), `i 2 kept (table "i" panicked on input 2: panic first)`)
	s.Set(1, "panic a")
	g.Commit()
	want(t, "bucket", fmt.Sprint(idx.Bucket("a"), idx.Bucket("b")), "[{1 panic a}] [{1 panic a}]")
	s.Set(1, "panic b")
	g.Commit()
	want(t, "standing", reportsOf(g.Standing()),
		`i 1 kept (table "i" panicked on input 1: panic b); i 2 kept (table "i" panicked on input 2: panic first)`)
	s.Set(1, "b c")
	s.Delete(2)
	g.Commit()
	want(t, "bucket", fmt.Sprint(idx.Bucket("a"), idx.Bucket("b"), idx.Bucket("c")), "[] [{1 b c}] [{1 b c}]")
	want(t, "reports", reportsOf(g.Reports()), "i 1; i 2")
	s.Set(1, "panic again")
	g.Commit()
	s.Delete(1)
	g.Commit()
	wantNothingLeft(t, g)
}
