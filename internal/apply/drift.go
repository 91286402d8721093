// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// maxRestored bounds the fields that are named.
const maxRestored = 5

// restored returns the fields of manifest that have another value in after than in before: what an apply put back.
// Fields that the manifest does not set are somebody else's and do not count.
func restored(manifest, before, after *unstructured.Unstructured) []string {
	var out []string
	compare(manifest.Object, before.Object, after.Object, "", &out)
	if len(out) > maxRestored {
		out = append(out[:maxRestored], fmt.Sprintf("and %d more", len(out)-maxRestored))
	}
	return out
}

func compare(wanted, before, after any, path string, out *[]string) {
	switch w := wanted.(type) {
	case map[string]any:
		b, _ := before.(map[string]any)
		a, ok := after.(map[string]any)
		if !ok {
			return
		}
		for _, key := range slices.Sorted(maps.Keys(w)) {
			compare(w[key], b[key], a[key], path+"."+key, out)
		}
	case []any:
		compareLists(w, before, after, path, out)
	default:
		if !equality.Semantic.DeepEqual(before, after) {
			*out = append(*out, path)
		}
	}
}

// compareLists compares the elements of the same name where all have one, and whole lists otherwise.
func compareLists(wanted []any, before, after any, path string, out *[]string) {
	b, _ := before.([]any)
	a, _ := after.([]any)
	for _, element := range wanted {
		name, ok := nameOf(element)
		if !ok {
			if !equality.Semantic.DeepEqual(before, after) {
				*out = append(*out, path)
			}
			return
		}
		compare(element, named(b, name), named(a, name), path+"["+name+"]", out)
	}
}

func named(list []any, name string) any {
	for _, element := range list {
		if n, ok := nameOf(element); ok && n == name {
			return element
		}
	}
	return nil
}

func nameOf(element any) (string, bool) {
	fields, ok := element.(map[string]any)
	if !ok {
		return "", false
	}
	name, ok := fields["name"].(string)
	return name, ok && name != ""
}
