// SPDX-License-Identifier: Apache-2.0

package graph

import "fmt"

// union is the keys of several tables.
type union[K comparable] struct {
	in  []*Table[K, struct{}]
	out *Table[K, struct{}]
}

// Union adds a table with a row for each key that any of some tables of keys has,
// so that one function can be evaluated for things that come from several places.
// compare orders the keys totally.
func Union[K comparable](g *Graph, name string, compare func(a, b K) int, in ...*Table[K, struct{}]) *Table[K, struct{}] {
	for _, t := range in {
		if t == nil || t.g != g {
			panic(fmt.Sprintf("graph: union %q is over a table that is not in the graph", name))
		}
	}
	u := &union[K]{in: in, out: newTable[K, struct{}](g, name, compare)}
	u.out.order = g.enter(name, u)
	return u.out
}

func (u *union[K]) forget() { u.out.forget() }

func (u *union[K]) run(res *Result) {
	for _, t := range u.in {
		for i := range t.changes {
			k := t.changes[i].Key
			r := u.out.at(k)
			u.out.touch(r)
			r.present = u.has(k)
		}
	}
	u.out.settle(res)
}

func (u *union[K]) has(k K) bool {
	for _, t := range u.in {
		if _, ok := t.Row(k); ok {
			return true
		}
	}
	return false
}

func (u *union[K]) stats() []TableStats                  { return []TableStats{u.out.stats("keys")} }
func (u *union[K]) explain(key any) (Explanation, error) { return u.out.explain(key) }
func (u *union[K]) collect(reports []Report) []Report    { return reports }
