// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/apimachinery/pkg/util/json" // keeps integers apart from floats
	"sigs.k8s.io/yaml"
)

// sample is an object of testdata/accepted or testdata/refused.
type sample struct {
	name    string
	refused string // the path of the field that the refusal names
	object  map[string]any
}

// samples reads the documents of testdata/DIR/KIND.yaml and completes them to
// objects of the first version of their kind.
func samples(t *testing.T, dir string, k kind) []sample {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", dir, k.name+".yaml"))
	if err != nil {
		t.Fatalf("every kind needs samples: %v", err)
	}
	var out []sample
	for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
		var object map[string]any
		asJSON, err := yaml.YAMLToJSONStrict(document)
		if err != nil {
			t.Fatalf("%s: %v", k.name, err)
		}
		if err := json.Unmarshal(asJSON, &object); err != nil {
			t.Fatalf("%s: %v", k.name, err)
		}
		s := sample{name: object["metadata"].(map[string]any)["name"].(string), object: object}
		if path, ok := object["refused"]; ok {
			s.refused = path.(string)
			delete(object, "refused")
		}
		object["apiVersion"], object["kind"] = k.group+"/"+k.versions[0], k.name
		out = append(out, s)
	}
	return out
}
