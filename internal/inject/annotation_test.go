// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	istio "istio.io/api/annotation"
)

// TestEveryAnnotationHasAnEffectOrAReason compares the table with Istio's own list.
func TestEveryAnnotationHasAnEffectOrAReason(t *testing.T) {
	var known []string
	for _, a := range istio.AllResourceAnnotations() {
		if slices.Contains(a.Resources, istio.Pod) {
			known = append(known, a.Name)
		}
	}
	var ours []string
	for _, a := range annotations {
		ours = append(ours, a.name)
		if a.note == "" {
			t.Errorf("%s: it is not said what becomes of it", a.name)
		}
	}
	slices.Sort(known)
	slices.Sort(ours)
	if !slices.Equal(known, ours) {
		t.Errorf("the table has\n%s\nthe API has\n%s", strings.Join(ours, "\n"), strings.Join(known, "\n"))
	}
}

// TestAnnotationsAreDocumented compares the table with docs/agent.md, both ways.
func TestAnnotationsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/agent.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-zA-Z./-]*istio\\.io/[a-zA-Z/-]+)` \\| (.*) \\|$").FindAllStringSubmatch(string(text), -1) {
		documented[row[1]] = row[2]
	}
	for _, a := range annotations {
		want := a.note
		if !a.served {
			want = "none: " + a.note
		}
		if documented[a.name] != want {
			t.Errorf("docs/agent.md says of %s %q, want %q", a.name, documented[a.name], want)
		}
		delete(documented, a.name)
	}
	for name := range documented {
		t.Errorf("docs/agent.md has %s, the table has not", name)
	}
}
