// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"cmp"
	"fmt"
	"strings"
	"testing"
)

func TestExplain(t *testing.T) {
	type name struct{ ns, n string }
	compare := func(a, b name) int { return cmp.Or(cmp.Compare(a.ns, b.ns), cmp.Compare(a.n, b.n)) }
	g := New()
	s := NewSource[name, string](g, "services", compare)
	p := NewSource[int, string](g, "pods", cmp.Compare[int])
	idx := NewIndex(g, "pods.byService", p.Table(), cmp.Compare[string], func(_ int, v string) []string { return []string{v} })
	keys := idx.Keys()
	Derive(g, "hosts", s.Table(), cmp.Compare[string], func(c *Ctx, k name, host string, emit func(string, int)) {
		Get(c, p.Table(), 99)
		Get(c, keys, "b")
		c.Report("note " + k.n)
		emit(host, len(Lookup(c, idx, k.n)))
	})
	s.Set(name{"x", "a"}, "h")
	s.Set(name{"x", "b"}, "h")
	p.Set(1, "a")
	p.Set(2, "a")
	g.Commit()

	e, err := g.Explain("hosts", "h")
	if err != nil {
		t.Fatal(err)
	}
	want(t, "row", fmt.Sprint(e.Ref, e.Present, e.Value, *e.Emitter), "hosts[h] true 2 hosts[{x a}]")
	want(t, "reads", fmt.Sprint(e.Reads), "[pods[99] pods.byService[a] pods.byService.keys[b] services[{x a}]]")
	want(t, "rivals", fmt.Sprint(e.Rivals), "[hosts[{x b}]]")
	want(t, "problems", fmt.Sprint(e.Problems), "[note a]")

	e, _ = g.Explain("services", "{x b}") // by text
	want(t, "source", fmt.Sprint(e.Ref, e.Present, " ", e.Value, " ", e.Emitter, e.Readers), "services[{x b}] true h <nil> [hosts[{x b}]]")
	e, _ = g.Explain("pods", 99)
	want(t, "awaited", fmt.Sprint(e.Ref, e.Present, e.Value, e.Readers), "pods[99] false <nil> [hosts[{x a}] hosts[{x b}]]")
	e, _ = g.Explain("pods", 98)
	want(t, "absent", fmt.Sprint(e.Ref, e.Present, e.Readers), "pods[98] false []")
	e, _ = g.Explain("pods.byService", "a")
	want(t, "bucket", fmt.Sprint(e.Ref, e.Present, e.Value, e.Readers), "pods.byService[a] true 2 [hosts[{x a}]]")
	e, _ = g.Explain("pods.byService", "b")
	want(t, "empty bucket", fmt.Sprint(e.Present, e.Value, e.Readers), "false <nil> [hosts[{x b}]]")
	e, _ = g.Explain("pods.byService.keys", "b")
	want(t, "keys", fmt.Sprint(e.Present, e.Readers), "false [hosts[{x a}] hosts[{x b}]]")

	for text, call := range map[string]func() (Explanation, error){
		`no table "nothing"`:      func() (Explanation, error) { return g.Explain("nothing", 1) },
		`has no key "{x c}"`:      func() (Explanation, error) { return g.Explain("services", "{x c}") },
		`are of type graph.name`:  func() (Explanation, error) { return g.Explain("services", 1) },
		`no key "1000"`:           func() (Explanation, error) { return g.Explain("pods", "1000") },
		`are of type string, not`: func() (Explanation, error) { return g.Explain("pods.byService", 1) },
	} {
		if _, err := call(); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("error %v does not say %q", err, text)
		}
	}
}

func TestStats(t *testing.T) {
	m := newMesh(10)
	m.slices.Set(3, 300)
	m.g.Commit()
	s := m.g.Stats()
	want(t, "graph", fmt.Sprint(s.Commits, s.Evaluated, s.Panics, s.Edges, s.Sites, s.Cells), "2 32 0 50 40 30")
	var parts []string
	for _, ts := range s.Tables {
		parts = append(parts, fmt.Sprint(ts.Name, " ", ts.Kind, " ", ts.Rows, " ", ts.Evaluated))
	}
	want(t, "tables", strings.Join(parts, ", "), "services source 10 0, slices source 10 0, "+
		"slices.byService index 10 0, endpoints derived 10 11, summaries derived 10 11, clusters derived 10 10")
}
