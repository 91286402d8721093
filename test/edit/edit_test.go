// SPDX-License-Identifier: Apache-2.0

package edit

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/test/scenario"
)

var seeds = flag.Int("seeds", 3, "how many sequences of edits TestEdits makes")

// TestEdits makes random edits in a mesh. After each, what is derived step by step is
// checked against what is derived anew, and no table may report of what is not an
// object of a user's.
func TestEdits(t *testing.T) {
	for seed := range uint64(*seeds) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { edits(t, seed) })
	}
}

func edits(t *testing.T, seed uint64) {
	corpus, err := Read("../scenario/testdata")
	if err != nil {
		t.Fatal(err)
	}
	w := scenario.New()
	for _, s := range corpus.Services() {
		if err := w.Apply(s); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]*ir.Class{
		"page.books":           {Namespace: "books", Labels: ir.NewLabels(map[string]string{"app": "page"})},
		"cart.shop":            {Namespace: "shop", Labels: ir.NewLabels(map[string]string{"app": "cart"})},
		"ingress.istio-system": {Role: ir.RoleRouter, Namespace: "istio-system", Labels: ir.NewLabels(map[string]string{"istio": "ingressgateway"})},
	} {
		w.Connect(name, c)
	}
	const edits = 1500
	editor := NewEditor(corpus, rand.New(rand.NewPCG(seed, 0)), "cluster.local", 3)
	kinds := map[string]int{}
	for i := range edits {
		e := editor.Next()
		kinds[e.Kind]++
		if e.Manifest == "" {
			err = w.Delete(e.Kind, e.Namespace, e.Name)
		} else {
			err = w.Apply(e.Manifest)
		}
		if err == nil {
			_, err = w.Step()
		}
		if err != nil {
			t.Fatalf("edit %d of seed %d: %v\n%s", i, seed, err, e)
		}
	}
	t.Logf("%d edits, %d candidates refused, by kind %v", edits, editor.Refused, kinds)
	// What waits for a subset, or keeps one, goes by the past, which a rebuilt mesh cannot
	// know. Each removal may let another object take effect.
	for all := waiting(w); len(all) > 0; all = waiting(w) {
		for _, o := range all {
			if err := w.Delete(o.Kind, o.Namespace, o.Name); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.Step(); err != nil {
			t.Fatal(err)
		}
	}
	fresh, err := w.Rebuilt()
	if err != nil {
		t.Fatal(err)
	}
	got, want := w.State(), fresh.State()
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("a rebuilt mesh has not: %s", line)
		}
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("only a rebuilt mesh has: %s", line)
		}
	}
	if editor.Refused > 4*edits {
		t.Errorf("%d candidates were refused for %d edits: most of the work is wasted", editor.Refused, edits)
	}
}

// waiting is the objects that stay in effect as they were, and those that name subsets
// which are not defined.
func waiting(w *scenario.World) []ir.Origin {
	found := map[ir.Origin]bool{}
	for _, line := range w.Problems() {
		words := strings.Fields(line)
		switch object, reason := words[0], words[2]; reason {
		case "WaitsForSubset", "SubsetNotFound":
			found[origin(object)] = true
		case "SubsetStillNamed": // told to the DestinationRule, of who names it
			_, rest, _ := strings.Cut(line, " while ")
			found[origin(strings.Fields(rest)[0])] = true
		}
	}
	return slices.Collect(maps.Keys(found))
}

// origin reads KIND/NAMESPACE/NAME, with or without a part of the object behind a #.
func origin(text string) ir.Origin {
	text, _, _ = strings.Cut(text, "#")
	name := strings.Split(text, "/")
	return ir.Origin{Kind: name[0], Namespace: name[1], Name: name[2]}
}
