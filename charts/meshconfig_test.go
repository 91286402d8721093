// SPDX-License-Identifier: Apache-2.0

package charts_test

import (
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/meshwright/meshwright/internal/meshconfig"
)

// TestMeshConfigIsTheSameEverywhere: the fields of a MeshOperator's meshConfig are
// those that the chart takes, and the control plane reads a spec that sets all of
// them.
func TestMeshConfigIsTheSameEverywhere(t *testing.T) {
	api := fieldsOf(t, "operator/files/crds/operator.meshwright.dev_meshoperators.yaml",
		"spec", "versions", "0", "schema", "openAPIV3Schema", "properties", "spec", "properties", "meshConfig")
	chart := fieldsOf(t, "controlplane/values.schema.json", "properties", "meshConfig")
	// What can only be one number needs no field.
	chart = slices.DeleteFunc(chart, func(path string) bool { return path == ".defaultConfig.statusPort" })
	if diff := cmp.Diff(api, chart); diff != "" {
		t.Errorf("the chart's fields (+) are not those of the API (-):\n%s", diff)
	}

	set := read(t, "../internal/revision/testdata/everything.in.yaml")
	said := paths("", set["meshConfig"], map[string]bool{})
	for _, path := range api {
		if !said[path] {
			t.Errorf("testdata/everything.in.yaml does not set meshConfig%s", path)
		}
	}
	seen := 0
	for name, objects := range renderings(t) {
		for _, object := range objects {
			text, ok, _ := unstructured.NestedString(object.Object, "data", "mesh")
			if !ok {
				continue
			}
			seen++
			if _, err := meshconfig.Parse([]byte(text)); err != nil {
				t.Errorf("%s: the control plane refuses its own configuration: %v", name, err)
			}
		}
	}
	if seen == 0 {
		t.Fatal("no configuration was seen")
	}
}

// schemaAt returns a schema that is somewhere in a file.
func schemaAt(t *testing.T, file string, at ...string) any {
	t.Helper()
	var schema any = read(t, file)
	for _, name := range at {
		switch inner := schema.(type) {
		case map[string]any:
			schema = inner[name]
		case []any:
			schema = inner[0]
		}
	}
	return schema
}

// fieldsOf returns the paths of all fields of a schema that is somewhere in a file.
func fieldsOf(t *testing.T, file string, at ...string) []string {
	t.Helper()
	out := fields("", schemaAt(t, file, at...))
	if len(out) == 0 {
		t.Fatalf("%s has no field at %v", file, at)
	}
	slices.Sort(out)
	return out
}

func fields(prefix string, schema any) []string {
	object, _ := schema.(map[string]any)
	if items, ok := object["items"]; ok {
		return append(fields(prefix, items), prefix)
	}
	properties, _ := object["properties"].(map[string]any)
	if len(properties) == 0 {
		return []string{prefix}
	}
	var out []string
	for name, inner := range properties {
		out = append(out, fields(prefix+"."+name, inner)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// paths collects where values are; items of a list are where the list is.
func paths(prefix string, value any, into map[string]bool) map[string]bool {
	into[prefix] = true
	switch value := value.(type) {
	case map[string]any:
		for name, inner := range value {
			paths(prefix+"."+name, inner, into)
		}
	case []any:
		for _, inner := range value {
			paths(prefix, inner, into)
		}
	}
	return into
}

func read(t *testing.T, file string) map[string]any {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if data, err = yaml.YAMLToJSON(data); err != nil {
		t.Fatal(err)
	}
	out := map[string]any{}
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}
