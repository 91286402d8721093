// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"fmt"
	"testing"
)

func TestAwaitsEndWithTheLastName(t *testing.T) {
	names := make([]string, 100)
	for i := range names {
		names[i] = fmt.Sprintf("n%03d", i)
	}
	var w awaits
	w.add(names, 7, 1)
	for i, text := range names {
		if _, place, ok := w.find(text); !ok || place != i {
			t.Fatalf("%s is not waited for", text)
		}
		w.drop(text)
		w.drop(text)
		if _, _, ok := w.find(text); ok {
			t.Fatalf("%s came and is still waited for", text)
		}
	}
	if w != nil {
		t.Errorf("everything came, and %d groups are left", len(w))
	}
}

// A cluster that is sent again waits for what comes after the second time.
func TestAwaitsMoveToTheLaterResponse(t *testing.T) {
	var w awaits
	w.add([]string{"a", "b"}, 1, 10)
	w.add([]string{"b", "c"}, 2, 20)
	for text, since := range map[string]uint64{"a": 10, "b": 20, "c": 20} {
		group, _, ok := w.find(text)
		if !ok || w[group].since != since {
			t.Errorf("%s is waited for since another response than %d", text, since)
		}
	}
	w.drop("a")
	if len(w) != 1 {
		t.Errorf("%d groups wait, want the later one only", len(w))
	}
}

// The names of a response belong to all clients that are sent it.
func TestAwaitsShareNames(t *testing.T) {
	names := []string{"a", "b", "c"}
	var one, other awaits
	one.add(names, 1, 1)
	other.add(names, 1, 1)
	one.drop("b")
	if _, _, ok := other.find("b"); !ok {
		t.Error("what came to one client is not waited for by another")
	}
}
