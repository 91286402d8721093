// SPDX-License-Identifier: Apache-2.0

package poison

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/meshwright/meshwright/internal/validate"
	"github.com/meshwright/meshwright/test/scenario"
)

var update = flag.Bool("update", false, "write what is told into the corpus")

// TestPoison throws each object of the corpus into a mesh in which all works. In the
// same commit its status says what is wrong, and nobody else's does; everybody else is
// answered as before, on proxies that run and on ones that connect afterwards; the same
// object again sends nothing; and when it is gone, nothing of it is left.
func TestPoison(t *testing.T) {
	cases, archives, err := Corpus("testdata")
	if err != nil {
		t.Fatal(err)
	}
	if len(cases) < 40 {
		t.Errorf("%d cases", len(cases))
	}
	told := map[*txtar.Archive]map[string]string{}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			got := poison(t, c)
			if c.file == nil {
				return
			}
			if told[c.file] == nil {
				told[c.file] = map[string]string{}
			}
			_, short, _ := strings.Cut(c.Name, "/")
			told[c.file][short] = got
			if !*update && got != c.Tells {
				t.Errorf("told\n%swant\n%s", got, c.Tells)
			}
		})
	}
	if *update {
		for file, archive := range archives {
			rewrite(t, file, archive, told[archive])
		}
	}
}

func rewrite(t *testing.T, file string, archive *txtar.Archive, told map[string]string) {
	t.Helper()
	out := &txtar.Archive{Comment: archive.Comment}
	for _, f := range archive.Files {
		if short, ok := strings.CutSuffix(f.Name, ".yaml"); ok {
			out.Files = append(out.Files, f, txtar.File{Name: short + ".tells", Data: []byte(told[short])})
		}
	}
	if err := os.WriteFile(file, txtar.Format(out), 0o644); err != nil {
		t.Fatal(err)
	}
}

// poison returns what users are told.
func poison(t *testing.T, c Case) string {
	w, err := Town()
	if err != nil {
		t.Fatal(err)
	}
	before, innocent, clean := answers(t, w, "cart.shop"), w.Problems(), w.State()
	if len(innocent) > 0 {
		t.Fatalf("the town has problems itself: %q", innocent)
	}
	if err := w.Apply(c.Manifest); err != nil {
		t.Fatal(err)
	}
	step(t, w)
	var told []string
	for _, line := range w.Problems() {
		rest, mine := strings.CutPrefix(line, c.Object.String())
		if !mine {
			t.Errorf("another object is blamed: %s", line)
			continue
		}
		if section, after, ok := strings.Cut(rest, " "); ok && (section == "" || section[0] == '#') {
			told = append(told, after)
		}
	}
	told = slices.Compact(told)
	same(t, "proxies that run", before, answers(t, w, "cart.shop"))

	w.Connect("late.shop", Sidecar("late"))
	step(t, w)
	same(t, "proxies that connect afterwards", before, answers(t, w, "late.shop"))
	if fresh, err := w.Rebuilt(); err != nil {
		t.Error(err)
	} else {
		same(t, "a control plane that starts afterwards", w.State(), fresh.State())
	}

	if err := w.Apply(c.Manifest); err != nil {
		t.Fatal(err)
	}
	if sent := step(t, w); len(sent) > 0 {
		t.Errorf("the same object again sends %q", sent)
	}
	if err := w.Delete(c.Object.Kind, c.Object.Namespace, c.Object.Name); err != nil {
		t.Fatal(err)
	}
	w.Connect("late.shop", nil)
	if strings.Contains(c.Manifest, `"Secret"`) {
		if err := w.Delete("Secret", "edge", "bad"); err != nil {
			t.Log(err) // it made no row
		}
	}
	step(t, w)
	same(t, "after the object", clean, w.State())
	return text(admission(t, c), told)
}

// text is the verdict at the door and the lines of the status; long lists are cut.
func text(verdict string, told []string) string {
	const most = 12
	lines := append([]string{verdict}, told...)
	if len(lines) > most {
		lines = append(lines[:most], fmt.Sprintf("... %d more", len(lines)-most))
	}
	return strings.Join(lines, "\n") + "\n"
}

// admission is what the webhook says of the object. It must not let pass what status
// calls an error of the object itself.
func admission(t *testing.T, c Case) string {
	t.Helper()
	body, err := json.Marshal(map[string]any{
		"metadata": metav1.ObjectMeta{Name: c.Object.Name, Namespace: c.Object.Namespace}, "spec": c.Spec,
	})
	if err != nil {
		t.Fatal(err)
	}
	answer := validate.New("cluster.local").Review(t.Context(), &admissionv1.AdmissionRequest{
		Operation: admissionv1.Create, Kind: metav1.GroupVersionKind{Group: c.Group, Kind: c.Object.Kind},
		Object: runtime.RawExtension{Raw: body},
	})
	switch {
	case !answer.Allowed:
		return "refused when it is applied"
	case len(answer.Warnings) > 0:
		return "applied with warnings"
	}
	return "applied"
}

func step(t *testing.T, w *scenario.World) []string {
	t.Helper()
	sent, err := w.Step()
	if err != nil {
		t.Fatal(err)
	}
	return sent
}

func answers(t *testing.T, w *scenario.World, from string) []string {
	t.Helper()
	out, err := Answers(w, from)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func same(t *testing.T, where string, want, got []string) {
	t.Helper()
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("%s: %q is missing", where, line)
		}
	}
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("%s: unexpected %q", where, line)
		}
	}
}
