// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func TestRestored(t *testing.T) {
	const manifest = "{metadata: {labels: {a: b}}, spec: {replicas: 2, list: [x, y], hooks: [{name: one, path: /a}, {name: two, path: /b}]}}"
	for name, c := range map[string]struct{ before, want string }{
		"the same":                {manifest, ""},
		"more beside":             {"{metadata: {labels: {a: b, c: d}}, spec: {replicas: 2, other: 1, list: [x, y], hooks: [{name: one, path: /a, caBundle: x}, {name: two, path: /b}, {name: three}]}}", ""},
		"a field changed":         {"{metadata: {labels: {a: b}}, spec: {replicas: 3, list: [x, y], hooks: [{name: one, path: /a}, {name: two, path: /b}]}}", ".spec.replicas"},
		"a label taken off":       {"{metadata: {}, spec: {replicas: 2, list: [x, y], hooks: [{name: one, path: /a}, {name: two, path: /b}]}}", ".metadata.labels.a"},
		"a list changed":          {"{metadata: {labels: {a: b}}, spec: {replicas: 2, list: [x], hooks: [{name: one, path: /a}, {name: two, path: /b}]}}", ".spec.list"},
		"an element taken off":    {"{metadata: {labels: {a: b}}, spec: {replicas: 2, list: [x, y], hooks: [{name: one, path: /a}]}}", ".spec.hooks[two].name .spec.hooks[two].path"},
		"an element changed":      {"{metadata: {labels: {a: b}}, spec: {replicas: 2, list: [x, y], hooks: [{name: two, path: /b}, {name: one, path: /z}]}}", ".spec.hooks[one].path"},
		"everything taken off":    {"{}", ".metadata.labels.a .spec.hooks[one].name .spec.hooks[one].path .spec.hooks[two].name .spec.hooks[two].path and 2 more"},
		"a field of another type": {"{metadata: {labels: {a: b}}, spec: none}", ".spec.hooks[one].name .spec.hooks[one].path .spec.hooks[two].name .spec.hooks[two].path .spec.list and 1 more"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := strings.Join(restored(parse(t, manifest), parse(t, c.before), parse(t, manifest)), " "); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func parse(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	out := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &out.Object); err != nil {
		t.Fatal(err)
	}
	return out
}
