// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/meshwright/meshwright/internal/ir"
)

var update = flag.Bool("update", false, "write what is sent, told and shown into the scenarios")

// TestScenarios runs testdata/*.txtar. A directory of the archive is a step; its files are
//
//	mesh        registryOnly | accessLogFile=FILE | discoveryScope=SCOPE
//	apply.yaml  objects
//	delete      KIND NAMESPACE NAME; a node has namespace "-"
//	connect     ROLE[+ipv6] NAMESPACE WORKLOAD KEY=VALUE[,KEY=VALUE] [REGION[/ZONE[/SUBZONE]]]: class WORKLOAD.NAMESPACE;
//	            the role machine is a sidecar outside of Kubernetes, WORKLOAD its WorkloadGroup
//	disconnect  CLASS
//	call        CLASS [METHOD] URL [HEADER=VALUE ...] -> ANSWER, written by hand
//	show        LAYER TYPE NAME [PATH]
//	remembers   why what is served is not what a fresh control plane would serve
//
// and what -update writes: sent, problems (all that stand), shown.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios (%v)", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if len(archive.Comment) == 0 {
				t.Error("a scenario begins with what it is about")
			}
			got := &txtar.Archive{Comment: archive.Comment}
			w := New()
			for _, s := range steps(t, archive) {
				s.run(t, w)
				got.Files = append(got.Files, s.files()...)
				if t.Failed() {
					return
				}
			}
			text := txtar.Format(got)
			if *update {
				if err := os.WriteFile(file, text, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			for i, f := range got.Files {
				if i >= len(archive.Files) || archive.Files[i].Name != f.Name {
					t.Fatalf("%s is missing or in the wrong place; run the test with -update", f.Name)
				}
				if have := string(archive.Files[i].Data); have != string(f.Data) {
					t.Errorf("%s: got\n%swant\n%s", f.Name, f.Data, have)
				}
			}
			if len(archive.Files) > len(got.Files) {
				t.Errorf("%s belongs to no step", archive.Files[len(got.Files)].Name)
			}
		})
	}
}

var (
	inputs  = []string{"mesh", "apply.yaml", "delete", "connect", "disconnect", "call", "show", "remembers"}
	outputs = []string{"sent", "problems", "shown"}
)

type step struct {
	name    string
	in, out map[string]string
}

func steps(t *testing.T, a *txtar.Archive) []*step {
	t.Helper()
	var out []*step
	for _, f := range a.Files {
		name, file, ok := strings.Cut(f.Name, "/")
		switch {
		case !ok || !slices.Contains(inputs, file) && !slices.Contains(outputs, file):
			t.Fatalf("%s is neither an input nor an output of a step", f.Name)
		case len(out) == 0 || out[len(out)-1].name != name:
			if slices.ContainsFunc(out, func(s *step) bool { return s.name == name }) {
				t.Fatalf("the files of step %q are apart", name)
			}
			out = append(out, &step{name: name, in: map[string]string{}, out: map[string]string{}})
		}
		if slices.Contains(inputs, file) {
			if len(f.Data) == 0 {
				t.Fatalf("%s is empty", f.Name)
			}
			out[len(out)-1].in[file] = string(f.Data)
		}
	}
	return out
}

func (s *step) files() []txtar.File {
	var out []txtar.File
	for _, names := range [][]string{inputs, outputs} {
		for _, name := range names {
			text, ok := s.in[name]
			if !ok {
				text, ok = s.out[name]
			}
			if ok {
				out = append(out, txtar.File{Name: s.name + "/" + name, Data: []byte(text)})
			}
		}
	}
	return out
}

func (s *step) run(t *testing.T, w *World) {
	t.Helper()
	fail := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("step %q: %v", s.name, err)
		}
	}
	for _, l := range lines(s.in["mesh"]) {
		fail(w.Configure(l))
	}
	if text, ok := s.in["apply.yaml"]; ok {
		fail(w.Apply(text))
	}
	for _, l := range lines(s.in["delete"]) {
		words := strings.Fields(l)
		if len(words) != 3 {
			fail(fmt.Errorf("delete %q is not KIND NAMESPACE NAME", l))
		}
		fail(w.Delete(words[0], words[1], words[2]))
	}
	for _, l := range lines(s.in["connect"]) {
		name, class, err := parseClass(l)
		fail(err)
		w.Connect(name, class)
	}
	for _, l := range lines(s.in["disconnect"]) {
		if w.classes[l] == nil {
			fail(fmt.Errorf("no class %q is connected", l))
		}
		w.Connect(l, nil)
	}
	sent, err := w.Step()
	fail(err)
	s.out["sent"], s.out["problems"] = text(sent), text(w.Problems())
	fail(s.dangling(t, w))
	for _, l := range lines(s.in["call"]) {
		call, want, ok := strings.Cut(l, " -> ")
		if !ok {
			fail(fmt.Errorf("call %q expects nothing", l))
		}
		got, err := w.Call(call)
		fail(err)
		if got != want {
			t.Errorf("step %q: %s\n got %s\nwant %s", s.name, call, got, want)
		}
	}
	var shown []string
	for _, l := range lines(s.in["show"]) {
		part, err := w.Show(l)
		fail(err)
		shown = append(shown, l+" = "+part)
	}
	if len(shown) > 0 {
		s.out["shown"] = text(shown)
	}
	s.compare(t, w)
}

// compare holds what grew step by step against what is built at once.
func (s *step) compare(t *testing.T, w *World) {
	t.Helper()
	fresh, err := w.Rebuilt()
	if err != nil {
		t.Fatalf("step %q: %v", s.name, err)
	}
	_, remembers := s.in["remembers"]
	switch a, b := w.State(), fresh.State(); {
	case remembers && slices.Equal(a, b):
		t.Errorf("step %q: what is built at once is what grew step by step, so nothing is remembered", s.name)
	case !remembers && !slices.Equal(a, b):
		t.Errorf("step %q: what grew step by step differs from what is built at once:\n%s\n\n%s", s.name, text(a), text(b))
	}
}

// dangling looks for what proxies would wait for in vain.
func (s *step) dangling(t *testing.T, w *World) error {
	t.Helper()
	for name := range w.classes {
		p, err := w.Whole(name)
		if err != nil {
			return err
		}
		if dangling := p.Dangling(); len(dangling) > 0 {
			t.Errorf("step %q: class %s: %q", s.name, name, dangling)
		}
	}
	return nil
}

func parseClass(line string) (string, *ir.Class, error) {
	words := strings.Fields(line)
	if len(words) == 4 {
		words = append(words, "")
	}
	if len(words) != 5 {
		return "", nil, fmt.Errorf("connect %q is not ROLE NAMESPACE WORKLOAD LABELS [LOCALITY]", line)
	}
	where := append(strings.Split(words[4], "/"), "", "")
	kind, six := strings.CutSuffix(words[0], "+ipv6")
	role, ok := map[string]ir.Role{"sidecar": ir.RoleSidecar, "machine": ir.RoleSidecar, "router": ir.RoleRouter}[kind]
	if !ok {
		return "", nil, fmt.Errorf("connect %q: the role is sidecar, machine or router", line)
	}
	group := ""
	if kind == "machine" {
		group = words[2]
	}
	labels := map[string]string{}
	for _, pair := range strings.Split(words[3], ",") {
		k, v, ok := strings.Cut(pair, "=")
		if !ok {
			return "", nil, fmt.Errorf("connect %q: %q is not KEY=VALUE", line, pair)
		}
		labels[k] = v
	}
	return words[2] + "." + words[1], &ir.Class{
		Role: role, Cluster: scope.Cluster, Namespace: words[1], Workload: words[2], ServiceAccount: words[2], Labels: ir.NewLabels(labels),
		Locality: ir.Locality{Region: where[0], Zone: where[1], SubZone: where[2]},
		Group:    group, IPv6: six,
	}, nil
}

func lines(s string) []string {
	var out []string
	for _, l := range strings.Split(s, "\n") {
		if l = strings.TrimSpace(l); l != "" {
			out = append(out, l)
		}
	}
	return out
}

func text(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}
