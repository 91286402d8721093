// SPDX-License-Identifier: Apache-2.0

package graph

import "fmt"

// Source is a table that is written from outside. Writes are staged, last one
// wins, and become visible with the next commit.
type Source[K comparable, V any] struct {
	table  *Table[K, V]
	staged map[K]write[V]
}

type write[V any] struct {
	value  V
	delete bool
}

// NewSource adds a source to the graph. compare orders keys totally: it returns 0
// only for keys that are ==. It panics if the name is taken or if the graph was
// committed before.
func NewSource[K comparable, V any](g *Graph, name string, compare func(a, b K) int) *Source[K, V] {
	s := &Source[K, V]{table: newTable[K, V](g, name, compare), staged: map[K]write[V]{}}
	s.table.order = g.enter(name, s)
	return s
}

// Table returns the rows of the source as of the last commit.
func (s *Source[K, V]) Table() *Table[K, V] { return s.table }

// Set stages a row. The value must not be modified afterwards.
func (s *Source[K, V]) Set(k K, v V) {
	s.writable()
	s.staged[k] = write[V]{value: v}
}

// Delete stages the removal of a row; a row that does not exist is no error.
func (s *Source[K, V]) Delete(k K) {
	s.writable()
	s.staged[k] = write[V]{delete: true}
}

// Staged returns the number of rows that the next commit will look at.
func (s *Source[K, V]) Staged() int { return len(s.staged) }

func (s *Source[K, V]) writable() {
	if s.table.g.committing {
		panic(wiring(fmt.Sprintf("graph: source %q is written while a commit is running", s.table.name)))
	}
}

func (s *Source[K, V]) forget() { s.table.forget() }

func (s *Source[K, V]) run(res *Result) {
	if len(s.staged) == 0 {
		return
	}
	t := s.table
	for k, w := range s.staged {
		if w.delete {
			if r := t.rows[k]; r != nil && r.present {
				t.touch(r)
				var none V
				r.value, r.present = none, false
			}
			continue
		}
		r := t.at(k)
		t.touch(r)
		r.value, r.present = w.value, true
	}
	if len(s.staged) > spare {
		s.staged = map[K]write[V]{}
	} else {
		clear(s.staged)
	}
	t.settle(res)
}

func (s *Source[K, V]) stats() []TableStats                  { return []TableStats{s.table.stats("source")} }
func (s *Source[K, V]) explain(key any) (Explanation, error) { return s.table.explain(key) }
func (s *Source[K, V]) collect(reports []Report) []Report    { return reports }
