// SPDX-License-Identifier: Apache-2.0

package difference_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/meshwright/meshwright/internal/cli/difference"
)

func value(t *testing.T, text string) any {
	t.Helper()
	var out any
	if err := yaml.Unmarshal([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestFields(t *testing.T) {
	for name, c := range map[string]struct {
		before, after string
		want          []string
	}{
		"same":              {"{a: 1, b: [x]}", "{b: [x], a: 1}", nil},
		"changed":           {"{a: {b: 1}}", "{a: {b: 2}}", []string{"~ a.b: 1 -> 2"}},
		"added and removed": {"{a: 1}", "{b: {c: x}}", []string{"- a: 1", `+ b: {"c":"x"}`}},
		"null is there":     {"{a: null}", "{}", []string{"- a: null"}},
		"kinds":             {"{a: 1}", "{a: {b: 1}}", []string{`~ a: 1 -> {"b":1}`}},
		"by index":          {"{a: [1, 2]}", "{a: [1, 3, 4]}", []string{"~ a[1]: 2 -> 3", "+ a[2]: 4"}},
		"by name":           {"{a: [{name: x, v: 1}, {name: w}]}", "{a: [{name: z}, {name: x, v: 2}]}", []string{`- a[w]: {"name":"w"}`, "~ a[x].v: 1 -> 2", `+ a[z]: {"name":"z"}`}},
		"only the order":    {"{a: [{name: x}, {name: w}]}", "{a: [{name: w}, {name: x}]}", nil},
		"names twice":       {"{a: [{name: x, p: 1}, {name: x, p: 2}]}", "{a: [{name: x, p: 1}, {name: x, p: 3}]}", []string{"~ a[1].p: 2 -> 3"}},
		"first of a list":   {"{a: []}", "{a: [{name: x}]}", []string{`+ a[x]: {"name":"x"}`}},
		"keys with dots":    {"{l: {a.b/c: x}}", "{l: {a.b/c: w}}", []string{`~ l["a.b/c"]: "x" -> "w"`}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, change := range difference.Fields("", value(t, c.before), value(t, c.after)) {
				got = append(got, change.String())
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	out := &unstructured.Unstructured{}
	if err := out.UnmarshalJSON(data); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestObjects(t *testing.T) {
	before := []*unstructured.Unstructured{
		object(t, "{apiVersion: v1, kind: Service, metadata: {namespace: ns, name: same}}"),
		object(t, "{apiVersion: v1, kind: Service, metadata: {namespace: ns, name: gone}}"),
		object(t, "{apiVersion: v1, kind: Service, metadata: {namespace: ns, name: other}, spec: {type: ClusterIP}}"),
	}
	after := []*unstructured.Unstructured{
		object(t, "{apiVersion: v1, kind: Namespace, metadata: {name: new}}"),
		object(t, "{apiVersion: v1, kind: Service, metadata: {namespace: ns, name: other}, spec: {type: NodePort}}"),
		object(t, "{apiVersion: v1, kind: Service, metadata: {namespace: ns, name: same}}"),
	}
	var got strings.Builder
	difference.Write(&got, difference.Objects(before, after))
	want := "- Service ns/gone\n~ Service ns/other\n    ~ spec.type: \"ClusterIP\" -> \"NodePort\"\n+ Namespace new\n"
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Error(diff)
	}
	live := object(t, "{apiVersion: v1, kind: Service, metadata: {namespace: ns, name: same, uid: u, resourceVersion: '7', managedFields: [], generation: 3, ownerReferences: [{kind: MeshRevision, name: default}]}, status: {a: b}}")
	if left := difference.Objects(before[:1], []*unstructured.Unstructured{difference.Own(live)}); len(left) > 0 {
		t.Errorf("what the server writes differs: %v", left)
	}
}
