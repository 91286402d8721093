// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

func definition(managedBy, version string, versions ...any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": "things.example.org", "labels": map[string]any{LabelManagedBy: managedBy, LabelVersion: version}},
		"spec":     map[string]any{"versions": versions},
	}}
}

func TestKeeper(t *testing.T) {
	for name, c := range map[string]struct{ managedBy, version, want string }{
		"ours":          {Manager, "v0.1.0", ""},
		"older":         {Manager, "v0.0.9", ""},
		"newer":         {Manager, "v0.2.0", "a newer operator (v0.2.0)"},
		"no version":    {Manager, "", ""},
		"Helm's":        {"Helm", "v0.1.0", "Helm"},
		"without label": {"", "", "somebody else"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := keeper(definition(Manager, "v0.1.0"), definition(c.managedBy, c.version)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestKeeperHandsOver: a definition is handed over as any other object is.
func TestKeeperHandsOver(t *testing.T) {
	given := definition("Helm", "v0.1.0")
	given.SetAnnotations(map[string]string{v1alpha1.AnnotationAdopt: "true"})
	if got := keeper(definition(Manager, "v0.1.0"), given); got != "" {
		t.Errorf("it is still %s's", got)
	}
}

func TestForeignDefinitionLacksWhatIsStored(t *testing.T) {
	v := func(name string, served, storage bool) map[string]any {
		return map[string]any{"name": name, "served": served, "storage": storage}
	}
	wanted := definition(Manager, "v0.1.0", v("v1", true, true), v("v1alpha3", true, false))
	for name, c := range map[string]struct {
		given *unstructured.Unstructured
		want  []string
	}{
		"has it":       {definition("Helm", "", v("v1beta1", true, true), v("v1", true, false)), nil},
		"not served":   {definition("Helm", "", v("v1", false, true)), []string{"v1"}},
		"lacks it":     {definition("Helm", "", v("v1alpha3", true, true)), []string{"v1"}},
		"lacks an old": {definition("Helm", "", v("v1", true, true)), nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := foreign(wanted, c.given, "Helm")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got.Lacking); diff != "" || got.Foreign != "Helm" || got.Missing == "" {
				t.Errorf("got %+v:\n%s", got, diff)
			}
		})
	}
}
