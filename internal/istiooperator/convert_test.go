// SPDX-License-Identifier: Apache-2.0

package istiooperator_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/charts"
	"github.com/meshwright/meshwright/internal/helm"
	"github.com/meshwright/meshwright/internal/istiooperator"
	"github.com/meshwright/meshwright/internal/profile"
	"github.com/meshwright/meshwright/internal/revision"
)

var update = flag.Bool("update", false, "write the golden files")

// input is what an IstioOperator says.
type input struct {
	Namespace string         `json:"namespace"`
	Spec      map[string]any `json:"spec"`
}

// output is what it becomes.
type output struct {
	Spec     v1alpha1.MeshOperatorSpec `json:"spec"`
	Unmapped []istiooperator.Unmapped  `json:"unmapped,omitempty"`
}

func inputs(t *testing.T) map[string]input {
	t.Helper()
	names, err := filepath.Glob("testdata/*.in.yaml")
	if err != nil || len(names) == 0 {
		t.Fatalf("no inputs: %v", err)
	}
	out := map[string]input{}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var in input
		if err := yaml.UnmarshalStrict(data, &in); err != nil {
			t.Fatal(err)
		}
		out[strings.TrimSuffix(filepath.Base(name), ".in.yaml")] = in
	}
	return out
}

func convert(t *testing.T, in input) output {
	t.Helper()
	spec, unmapped, err := istiooperator.Convert(in.Namespace, in.Spec)
	if err != nil {
		t.Fatal(err)
	}
	return output{spec, unmapped}
}

func TestGolden(t *testing.T) {
	expected := []string{}
	for name, in := range inputs(t) {
		file := "testdata/" + name + ".out.yaml"
		expected = append(expected, file)
		t.Run(name, func(t *testing.T) {
			before, _ := json.Marshal(in)
			got, err := yaml.Marshal(convert(t, in))
			if err != nil {
				t.Fatal(err)
			}
			if after, _ := json.Marshal(in); string(after) != string(before) {
				t.Error("the input changed")
			}
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("%s differs (-want +got); run with -update if that is meant:\n%s", file, diff)
			}
		})
	}
	outputs, _ := filepath.Glob("testdata/*.out.yaml")
	for _, file := range outputs {
		if !slices.Contains(expected, file) {
			t.Errorf("%s has no input", file)
		}
	}
}

// TestEveryOutputRenders: what is converted passes the charts' schemas, and
// every overlay matches and applies.
func TestEveryOutputRenders(t *testing.T) {
	loaded, err := helm.Load(charts.Files)
	if err != nil {
		t.Fatal(err)
	}
	for name, in := range inputs(t) {
		t.Run(name, func(t *testing.T) {
			spec := convert(t, in).Spec
			resolved, err := profile.Resolve(spec)
			if err != nil {
				t.Fatal(err)
			}
			plan, err := revision.Plan(resolved, revision.Platform{})
			if err != nil {
				t.Fatal(err)
			}
			objects := render(t, loaded, plan)
			if err := helm.Overlay(objects, plan.Overlays); err != nil {
				t.Error(err)
			}
		})
	}
}

// render returns the objects of a plan, but not the CRDs.
func render(t *testing.T, loaded *helm.Charts, plan v1alpha1.MeshRevisionSpec) []*unstructured.Unstructured {
	t.Helper()
	var out []*unstructured.Unstructured
	for _, component := range plan.Components {
		if component.Chart == v1alpha1.ChartBase {
			continue
		}
		values := map[string]any{}
		if err := json.Unmarshal(component.Values.Raw, &values); err != nil {
			t.Fatal(err)
		}
		objects, err := loaded.Render(helm.Release{
			Chart: string(component.Chart), Name: component.Name, Namespace: component.Namespace, Values: values,
		}, "v1.36.3")
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, objects...)
	}
	return out
}

// leaves returns the paths of all leaves under a value, as lists of steps.
func leaves(value any, path []any) [][]any {
	var out [][]any
	switch value := value.(type) {
	case map[string]any:
		for key, item := range value {
			out = append(out, leaves(item, append(slices.Clone(path), key))...)
		}
	case []any:
		for i, item := range value {
			out = append(out, leaves(item, append(slices.Clone(path), i))...)
		}
	case nil:
	default:
		out = append(out, path)
	}
	return out
}

// with returns a copy of a value in which a leaf is another one.
func with(value any, path []any, change func(any) any) any {
	if len(path) == 0 {
		return change(value)
	}
	switch value := value.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, item := range value {
			if key != path[0] {
				out[key] = item
			} else if changed := with(item, path[1:], change); changed != nil {
				out[key] = changed
			}
		}
		return out
	case []any:
		out := slices.Clone(value)
		out[path[0].(int)] = with(out[path[0].(int)], path[1:], change)
		return slices.DeleteFunc(out, func(item any) bool { return item == nil })
	}
	return value
}

// TestNothingIsLost: whoever takes any field of the input away, or changes it,
// sees that in the spec or in the list of what is unmapped.
func TestNothingIsLost(t *testing.T) {
	for name, in := range inputs(t) {
		whole := convert(t, in)
		for _, path := range leaves(in.Spec, nil) {
			if !listed(whole, path) && !seen(in, whole, path) {
				t.Errorf("%s: %v is neither mapped nor unmapped", name, path)
			}
		}
	}
}

// listed says whether a field, or what it is in, is in the list.
func listed(whole output, path []any) bool {
	name := "spec"
	for _, step := range path {
		switch step := step.(type) {
		case int:
			name += fmt.Sprintf("[%d]", step)
		case string:
			name += "." + step
		}
		if slices.ContainsFunc(whole.Unmapped, func(u istiooperator.Unmapped) bool { return u.Path == name }) {
			return true
		}
	}
	return false
}

func seen(in input, whole output, path []any) bool {
	for _, change := range []func(any) any{
		func(any) any { return nil },
		func(value any) any {
			switch value := value.(type) {
			case bool:
				return !value
			case float64:
				return value + 1
			}
			return fmt.Sprint(value, "x")
		},
	} {
		spec, unmapped, err := istiooperator.Convert(in.Namespace, with(in.Spec, path, change).(map[string]any))
		if err != nil || cmp.Diff(whole, output{spec, unmapped}) != "" {
			return true
		}
	}
	return false
}

func TestErrors(t *testing.T) {
	for spec, want := range map[string]string{
		`{profile: ambient}`:                "spec.profile: profile ambient has no sidecars",
		`{profile: remote}`:                 "spec.profile: profile remote has its control plane in another cluster",
		`{profile: /tmp/mine.yaml}`:         "it is no file of the operator's",
		`{profile: 3}`:                      "spec.profile: unknown profile",
		`{components: {egressGateways: 3}}`: "spec.components.egressGateways: must be a list",
		`{components: {ingressGateways: [{name: a}, {name: a}]}}`:                   `spec.components.ingressGateways[1].name: "a" is the name of spec.components.ingressGateways[0] too`,
		`{components: {ingressGateways: [{name: a}], egressGateways: [{name: a}]}}`: `spec.components.egressGateways[0].name: "a" is the name of`,
		`{components: {egressGateways: [{name: istio-ingressgateway}]}}`:            `"istio-ingressgateway" is the name of spec.profile too`,
		`{components: {ingressGateways: [3]}}`:                                      "spec.components.ingressGateways[0]: must be an object",
	} {
		in := map[string]any{}
		if err := yaml.Unmarshal([]byte(spec), &in); err != nil {
			t.Fatal(err)
		}
		_, _, err := istiooperator.Convert("istio-system", in)
		var refused *istiooperator.Error
		var unknown *istiooperator.ProfileError
		if !errors.As(err, &refused) && !errors.As(err, &unknown) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", spec, err, want)
		}
	}
}

// FuzzConvert: no input makes it panic, or lose its word that it is pure.
func FuzzConvert(f *testing.F) {
	names, _ := filepath.Glob("testdata/*.in.yaml")
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		var in input
		if err := yaml.Unmarshal(data, &in); err != nil {
			f.Fatal(err)
		}
		spec, _ := json.Marshal(in.Spec)
		f.Add(spec)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		spec := map[string]any{}
		if json.Unmarshal(data, &spec) != nil {
			return
		}
		first, missed, err := istiooperator.Convert("istio-system", spec)
		again, missedAgain, errAgain := istiooperator.Convert("istio-system", spec)
		if diff := cmp.Diff(output{first, missed}, output{again, missedAgain}); diff != "" || (err == nil) != (errAgain == nil) {
			t.Errorf("a second conversion differs: %s", diff)
		}
	})
}
