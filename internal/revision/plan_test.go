// SPDX-License-Identifier: Apache-2.0

package revision_test

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/charts"
	"github.com/meshwright/meshwright/internal/helm"
	"github.com/meshwright/meshwright/internal/profile"
	"github.com/meshwright/meshwright/internal/revision"
)

var update = flag.Bool("update", false, "write the golden files")

// TestGolden holds testdata/CASE.in.yaml, a MeshOperatorSpec, against
// CASE.out.yaml, the MeshRevisionSpec that it resolves to.
func TestGolden(t *testing.T) {
	inputs, err := filepath.Glob("testdata/*.in.yaml")
	if err != nil || len(inputs) == 0 {
		t.Fatalf("no inputs: %v", err)
	}
	var expected []string
	for _, input := range inputs {
		output := strings.TrimSuffix(input, ".in.yaml") + ".out.yaml"
		expected = append(expected, output)
		t.Run(strings.TrimSuffix(filepath.Base(input), ".in.yaml"), func(t *testing.T) {
			got := resolve(t, input)
			if *update {
				if err := os.WriteFile(output, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(output)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("%s differs (-want +got); run with -update if that is meant:\n%s", output, diff)
			}
		})
	}
	outputs, _ := filepath.Glob("testdata/*.out.yaml")
	for _, output := range outputs {
		if slices.Contains(expected, output) {
			continue
		}
		if !*update {
			t.Errorf("%s has no input; run with -update to remove it", output)
			continue
		}
		if err := os.Remove(output); err != nil {
			t.Error(err)
		}
	}
}

func resolve(t *testing.T, input string) []byte {
	t.Helper()
	data, err := os.ReadFile(input)
	if err != nil {
		t.Fatal(err)
	}
	var spec v1alpha1.MeshOperatorSpec
	if err := yaml.UnmarshalStrict(data, &spec); err != nil {
		t.Fatal(err)
	}
	resolved, err := profile.Resolve(spec)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := revision.Plan(resolved, revision.Platform{Registry: "registry.example/mesh"})
	if err != nil {
		t.Fatal(err)
	}
	again, err := revision.Plan(resolved, revision.Platform{Registry: "registry.example/mesh"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(plan, again); diff != "" {
		t.Errorf("a second plan differs:\n%s", diff)
	}
	out, err := yaml.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestPlanUnknownVersion(t *testing.T) {
	_, err := revision.Plan(v1alpha1.MeshOperatorSpec{Version: "v9.9.9"}, revision.Platform{})
	if !errors.Is(err, revision.ErrUnknownVersion) {
		t.Fatalf("got %v, want ErrUnknownVersion", err)
	}
	for _, want := range []string{"v9.9.9", revision.Version, "spec.version"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
}

// TestVersionIsThatOfTheCharts: a version that the charts do not have would
// pull images that do not exist.
func TestVersionIsThatOfTheCharts(t *testing.T) {
	carried, err := helm.Load(charts.Files)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range carried.Names() {
		if got := carried.AppVersion(name); got != revision.Version {
			t.Errorf("chart %s has appVersion %s, want %s", name, got, revision.Version)
		}
	}
}

func TestPlanDoesNotChangeItsInput(t *testing.T) {
	resolved, err := profile.Resolve(v1alpha1.MeshOperatorSpec{Profile: "demo"})
	if err != nil {
		t.Fatal(err)
	}
	before, _ := json.Marshal(resolved)
	if _, err := revision.Plan(resolved, revision.Platform{}); err != nil {
		t.Fatal(err)
	}
	after, _ := json.Marshal(resolved)
	if diff := cmp.Diff(string(before), string(after)); diff != "" {
		t.Errorf("the input changed:\n%s", diff)
	}
}

// TestDigestsOfThePlatform: they belong to the platform's images, and say nothing of others of the same names.
func TestDigestsOfThePlatform(t *testing.T) {
	known := revision.Platform{Registry: "registry.example/mesh", Digests: v1alpha1.Digests{ControlPlane: "sha256:of-the-platform"}}
	for name, c := range map[string]struct {
		image *v1alpha1.Image
		want  string
	}{
		"no image":         {nil, "sha256:of-the-platform"},
		"a pull policy":    {&v1alpha1.Image{PullPolicy: "Always"}, "sha256:of-the-platform"},
		"another registry": {&v1alpha1.Image{Registry: "elsewhere.example"}, ""},
		"another tag":      {&v1alpha1.Image{Tag: "nightly"}, ""},
		"its own digests":  {&v1alpha1.Image{Digests: &v1alpha1.Digests{ControlPlane: "sha256:of-the-spec"}}, "sha256:of-the-spec"},
	} {
		resolved, err := profile.Resolve(v1alpha1.MeshOperatorSpec{Profile: "minimal", Image: c.image})
		if err != nil {
			t.Fatal(err)
		}
		plan, err := revision.Plan(resolved, known)
		if err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(plan.Components, func(c v1alpha1.Component) bool { return c.Chart == v1alpha1.ChartControlPlane })
		var values struct {
			Image struct {
				Digests struct {
					ControlPlane string `json:"controlplane"`
				} `json:"digests"`
			} `json:"image"`
		}
		if err := json.Unmarshal(plan.Components[at].Values.Raw, &values); err != nil {
			t.Fatal(err)
		}
		if got := values.Image.Digests.ControlPlane; got != c.want {
			t.Errorf("%s: digest %q, want %q", name, got, c.want)
		}
	}
}
