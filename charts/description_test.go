// SPDX-License-Identifier: Apache-2.0

package charts_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// key is a line of values.yaml that has a value's name.
var key = regexp.MustCompile(`^( *)([A-Za-z]\w*):`)

// ofKubernetes are values whose fields Kubernetes defines.
var ofKubernetes = []string{".resources", ".service.ports"}

// commented returns the comment above each value of values.yaml by the value's path. A value without one has "".
func commented(t *testing.T, file string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	type parent struct {
		indent int
		name   string
	}
	out := map[string]string{}
	var parents []parent
	var comment []string
	for line := range strings.Lines(string(text)) {
		trimmed := strings.TrimSpace(line)
		if after, ok := strings.CutPrefix(trimmed, "#"); ok {
			comment = append(comment, strings.TrimSpace(after))
			continue
		}
		if found := key.FindStringSubmatch(line); found != nil {
			indent := len(found[1])
			parents = slices.DeleteFunc(parents, func(p parent) bool { return p.indent >= indent })
			path := ""
			for _, p := range parents {
				path += "." + p.name
			}
			if !slices.ContainsFunc(ofKubernetes, func(prefix string) bool { return strings.HasPrefix(path, prefix) }) {
				out[path+"."+found[2]] = strings.Join(comment, " ")
			}
			parents = append(parents, parent{indent, found[2]})
		}
		comment = nil
	}
	return out
}

// described walks the properties of a schema with their paths; items of lists have the path of the list.
func described(schema map[string]any, path string, visit func(path string, property map[string]any)) {
	if items, ok := schema["items"].(map[string]any); ok {
		described(items, path, visit)
	}
	properties, _ := schema["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		property := properties[name].(map[string]any)
		visit(path+"."+name, property)
		described(property, path+"."+name, visit)
	}
}

// TestDescriptions: every value has a comment, every property of its schema a description, and where both speak of the
// same they say the same: the comment, or for meshConfig the description in the MeshOperator.
func TestDescriptions(t *testing.T) {
	mesh := map[string]string{}
	api, _ := schemaAt(t, "operator/files/crds/operator.meshwright.dev_meshoperators.yaml",
		"spec", "versions", "0", "schema", "openAPIV3Schema", "properties", "spec", "properties", "meshConfig").(map[string]any)
	described(api, ".meshConfig", func(path string, property map[string]any) {
		text, _ := property["description"].(string)
		mesh[path] = strings.Join(strings.Fields(text), " ")
	})
	for _, name := range load(t).Names() {
		file := filepath.Join(name, "values.schema.json")
		comments := commented(t, filepath.Join(name, "values.yaml"))
		schema := read(t, file)
		declared := map[string]bool{}
		described(schema, "", func(path string, property map[string]any) {
			declared[path] = true
			want, known := comments[path]
			if !known {
				want, known = mesh[path]
				known = known && name == "controlplane"
			}
			if known && *update {
				property["description"] = want
			}
			got, _ := property["description"].(string)
			if got == "" || known && got != want {
				t.Errorf("chart %s: the schema says of %s %q, want %q", name, path, got, want)
			}
		})
		for path, comment := range comments {
			if comment == "" && declared[path] {
				t.Errorf("chart %s: %s has no comment above it", name, path)
			}
		}
		if *update {
			var out bytes.Buffer
			encoder := json.NewEncoder(&out)
			encoder.SetEscapeHTML(false)
			encoder.SetIndent("", "  ")
			if err := encoder.Encode(schema); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}
