// SPDX-License-Identifier: Apache-2.0

package charts_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/helm"
	"github.com/meshwright/meshwright/internal/platform"
	"github.com/meshwright/meshwright/internal/profile"
	"github.com/meshwright/meshwright/internal/revision"
)

var update = flag.Bool("update", false, "write the golden files")

// kubeVersion is what templates see in these tests.
const kubeVersion = "v1.36.3"

// load reads all charts, with that of the operator, from the disk.
func load(t *testing.T) *helm.Charts {
	t.Helper()
	loaded, err := helm.Load(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

// plan resolves a spec.
func plan(t *testing.T, spec v1alpha1.MeshOperatorSpec) v1alpha1.MeshRevisionSpec {
	t.Helper()
	resolved, err := profile.Resolve(spec)
	if err != nil {
		t.Fatal(err)
	}
	out, err := revision.Plan(resolved, revision.Platform{})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// render renders the components of a plan, but not the CRDs.
func render(t *testing.T, charts *helm.Charts, p v1alpha1.MeshRevisionSpec) []*unstructured.Unstructured {
	t.Helper()
	var out []*unstructured.Unstructured
	for _, component := range p.Components {
		if component.Chart == v1alpha1.ChartBase {
			continue
		}
		values := map[string]any{}
		if err := json.Unmarshal(component.Values.Raw, &values); err != nil {
			t.Fatal(err)
		}
		objects, err := charts.Render(helm.Release{
			Chart: string(component.Chart), Name: component.Name, Namespace: component.Namespace, Values: values,
		}, kubeVersion)
		if err != nil {
			t.Fatalf("component %s: %v", component.Name, err)
		}
		out = append(out, objects...)
	}
	return out
}

// renderings returns what is rendered for each profile, for a spec that uses
// most fields, and for the operator.
func renderings(t *testing.T) map[string][]*unstructured.Unstructured {
	t.Helper()
	charts := load(t)
	out := map[string][]*unstructured.Unstructured{}
	for _, name := range profile.Names() {
		out["profile-"+name] = render(t, charts, plan(t, v1alpha1.MeshOperatorSpec{Profile: name}))
	}
	for _, name := range []v1alpha1.Platform{platform.OpenShift, platform.GKE} {
		out["platform-"+string(name)] = render(t, charts, plan(t, v1alpha1.MeshOperatorSpec{Profile: "openshift", Platform: name}))
	}
	data, err := os.ReadFile("../internal/revision/testdata/everything.in.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var everything v1alpha1.MeshOperatorSpec
	if err := yaml.UnmarshalStrict(data, &everything); err != nil {
		t.Fatal(err)
	}
	out["everything"] = render(t, charts, plan(t, everything))
	operator, err := charts.Render(helm.Release{
		Chart: "operator", Name: "meshwright", Namespace: "meshwright-system",
		Values: map[string]any{"crds": map[string]any{"enabled": false}, "replicas": 2},
	}, kubeVersion)
	if err != nil {
		t.Fatal(err)
	}
	out["operator"] = operator
	for name, values := range webhooksOf {
		out[name] = renderControlPlane(t, charts, []any{"webhooks"}, values)
	}
	return out
}

func TestGolden(t *testing.T) {
	expected := []string{}
	for name, objects := range renderings(t) {
		output := filepath.Join("testdata", name+".out.yaml")
		expected = append(expected, output)
		var got bytes.Buffer
		for _, object := range objects {
			data, err := yaml.Marshal(object.Object)
			if err != nil {
				t.Fatal(err)
			}
			got.WriteString("---\n")
			got.Write(data)
		}
		if *update {
			if err := os.WriteFile(output, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(output)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got.String()); diff != "" {
			t.Errorf("%s differs (-want +got); run with -update if that is meant:\n%s", output, diff)
		}
	}
	outputs, _ := filepath.Glob("testdata/*.out.yaml")
	for _, output := range outputs {
		if slices.Contains(expected, output) {
			continue
		}
		if !*update {
			t.Errorf("%s is of nothing; run with -update to remove it", output)
			continue
		}
		if err := os.Remove(output); err != nil {
			t.Error(err)
		}
	}
}

// TestLint runs `helm lint --strict` on every chart: with its own values, and with those of each profile on each
// platform.
func TestLint(t *testing.T) {
	type subject struct{ chart, values string }
	seen := map[subject]string{}
	for _, name := range load(t).Names() {
		seen[subject{name, "{}"}] = "its own values"
	}
	for _, name := range profile.Names() {
		for _, on := range platform.Names() {
			for _, component := range plan(t, v1alpha1.MeshOperatorSpec{Profile: name, Platform: v1alpha1.Platform(on)}).Components {
				values := "{}"
				if component.Values != nil {
					values = string(component.Values.Raw)
				}
				seen[subject{string(component.Chart), values}] = "profile " + name + " on " + on
			}
		}
	}
	version, err := chartutil.ParseKubeVersion(kubeVersion)
	if err != nil {
		t.Fatal(err)
	}
	for s, of := range seen {
		values := map[string]any{}
		if err := json.Unmarshal([]byte(s.values), &values); err != nil {
			t.Fatal(err)
		}
		linter := lint.AllWithKubeVersion(s.chart, values, "mesh", version)
		if filepath.Base(linter.ChartDir) != s.chart {
			t.Errorf("chart %s: lint looked at %s", s.chart, linter.ChartDir)
		}
		for _, message := range linter.Messages {
			// An icon is all that lint may miss.
			if message.Severity > support.InfoSev {
				t.Errorf("chart %s with %s: %v", s.chart, of, message)
			}
		}
	}
	if len(seen) < 15 {
		t.Errorf("only %d sets of values are looked at", len(seen))
	}
}

// TestSchemasRefuseUnknownValues: a misspelt value must not be ignored.
func TestSchemasRefuseUnknownValues(t *testing.T) {
	charts := load(t)
	for _, name := range charts.Names() {
		_, err := charts.Render(helm.Release{Chart: name, Name: "x", Namespace: "y", Values: map[string]any{"replicaz": 1}}, kubeVersion)
		if err == nil || !strings.Contains(err.Error(), "replicaz") {
			t.Errorf("chart %s: got %v, want an error that names the value", name, err)
		}
	}
}

// TestEveryValueIsUsed: a value that no template reads promises what nobody keeps.
func TestEveryValueIsUsed(t *testing.T) {
	for _, name := range load(t).Names() {
		templates := ""
		files, err := filepath.Glob(filepath.Join(name, "templates", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			templates += string(data)
		}
		data, err := os.ReadFile(filepath.Join(name, "values.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		values := map[string]any{}
		if err := yaml.Unmarshal(data, &values); err != nil {
			t.Fatal(err)
		}
		for _, path := range leaves("Values", values) {
			if !used(templates, path) {
				t.Errorf("chart %s: no template reads .%s", name, path)
			}
		}
	}
}

// leaves lists the paths of the values that hold no further values.
func leaves(prefix string, value map[string]any) []string {
	var out []string
	for key, inner := range value {
		path := prefix + "." + key
		if object, ok := inner.(map[string]any); ok && len(object) > 0 {
			out = append(out, leaves(path, object)...)
			continue
		}
		out = append(out, path)
	}
	return out
}

// used says whether a path, or an object that holds it, is read whole.
func used(templates, path string) bool {
	for at := path; strings.Count(at, ".") >= 1; at = at[:strings.LastIndex(at, ".")] {
		for _, end := range []string{" ", ")", "}", "\n", "|"} {
			if strings.Contains(templates, "."+at+end) {
				return true
			}
		}
	}
	return false
}

// describe writes an object's name for messages.
func describe(object *unstructured.Unstructured) string {
	return fmt.Sprintf("%s %s/%s", object.GetKind(), object.GetNamespace(), object.GetName())
}
