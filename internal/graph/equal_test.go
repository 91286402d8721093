// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"cmp"
	"net/netip"
	"strings"
	"testing"
	"time"
)

type folded string // equal without regard to case

func (f folded) Equal(o folded) bool { return strings.EqualFold(string(f), string(o)) }

type version struct {
	number int
	note   *string
}

func (v *version) Equal(o *version) bool { return v.number == o.number }

type byValue struct{ id, noise int }

func (b *byValue) Equal(o byValue) bool { return b.id == o.id }

type fragile struct{ p *int }

func (f fragile) Equal(o fragile) bool { return *f.p == *o.p }

// wantEqual sets a then b and says whether the table saw a change.
func wantEqual[V any](t *testing.T, what string, a, b V, equal bool) {
	t.Helper()
	g := New()
	s := NewSource[int, V](g, "s", cmp.Compare[int])
	s.Set(1, a)
	g.Commit()
	s.Set(1, b)
	g.Commit()
	if got := len(s.Table().Changes()) == 0; got != equal {
		t.Errorf("%s: equal is %v, want %v", what, got, equal)
	}
}

func TestEquality(t *testing.T) {
	one, uno, two := 1, 1, 2
	note := "a note"
	wantEqual(t, "int", 1, 1, true)
	wantEqual(t, "int", 1, 2, false)
	wantEqual(t, "string", "a", "a", true)
	wantEqual(t, "struct", struct{ a, b string }{"x", "y"}, struct{ a, b string }{"x", "y"}, true)
	wantEqual(t, "array", [2]int{1, 2}, [2]int{1, 3}, false)
	wantEqual(t, "Equal on the value", folded("A"), folded("a"), true)
	wantEqual(t, "Equal on the pointer, values", version{1, nil}, version{1, &note}, true)
	wantEqual(t, "Equal on the pointer, pointers", &version{1, nil}, &version{1, &note}, true)
	wantEqual(t, "Equal on the pointer, pointers", &version{1, nil}, &version{2, nil}, false)
	wantEqual(t, "nil to pointer", nil, &version{1, nil}, false)
	wantEqual(t, "pointer to nil", &version{1, nil}, nil, false)
	wantEqual[*version](t, "nil to nil", nil, nil, true)
	wantEqual(t, "Equal(V) on the pointer", byValue{1, 2}, byValue{1, 3}, true)
	wantEqual(t, "standard library", time.Unix(1, 0).UTC(), time.Unix(1, 0).In(time.FixedZone("x", 60)), true)
	wantEqual(t, "netip", netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.1"), true)
	wantEqual(t, "netip", netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), false)
	wantEqual(t, "slice", []string{"a"}, []string{"a"}, true)
	wantEqual(t, "slice", []string{"a"}, []string{"b"}, false)
	wantEqual(t, "map", map[string]int{"a": 1}, map[string]int{"a": 1}, true)
	wantEqual(t, "pointers compare by content", &one, &uno, true)
	wantEqual(t, "pointers compare by content", &one, &two, false)
	wantEqual(t, "struct with pointer", struct{ p *int }{&one}, struct{ p *int }{&uno}, true)
	wantEqual[any](t, "interface", []int{1}, []int{1}, true)
	wantEqual[any](t, "interface", 1, "1", false)
	wantEqual(t, "a panic means different", fragile{&one}, fragile{}, false)
}

// A row that is rebuilt equal keeps the value that its readers hold.
func TestEqualValueKeepsItsIdentity(t *testing.T) {
	g := New()
	s := NewSource[int, *version](g, "s", cmp.Compare[int])
	first := &version{number: 1}
	s.Set(1, first)
	g.Commit()
	s.Set(1, &version{number: 1})
	g.Commit()
	if got, _ := s.Table().Row(1); got != first {
		t.Error("the value was replaced by an equal one")
	}
}
