// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/charts"
	"github.com/meshwright/meshwright/internal/conditions"
	"github.com/meshwright/meshwright/internal/helm"
	"github.com/meshwright/meshwright/internal/manifest"
	"github.com/meshwright/meshwright/internal/profile"
	"github.com/meshwright/meshwright/internal/revision"
)

func load(t *testing.T) *helm.Charts {
	t.Helper()
	loaded, err := helm.Load(charts.Files)
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

func demo(t *testing.T) v1alpha1.MeshRevisionSpec {
	t.Helper()
	resolved, err := profile.Resolve(v1alpha1.MeshOperatorSpec{Profile: "demo", Gateways: &v1alpha1.Gateways{
		Ingress: []v1alpha1.Gateway{{Name: "edge", Namespace: "edge"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	plan, err := revision.Plan(resolved, revision.Platform{})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// TestRender: every object says whose it is and is named in full, and the
// definitions, which all revisions share, say nothing of one.
func TestRender(t *testing.T) {
	loaded := load(t)
	first, err := manifest.Render(loaded, "v1.36.3", "blue", demo(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(first.Definitions) < 10 || len(first.Objects) < 10 {
		t.Fatalf("%d definitions and %d objects", len(first.Definitions), len(first.Objects))
	}
	for _, d := range first.Definitions {
		if d.GetKind() != "CustomResourceDefinition" || d.GetLabels()[v1alpha1.LabelRevision] != "" {
			t.Errorf("%s %s has the labels %v", d.GetKind(), d.GetName(), d.GetLabels())
		}
	}
	for _, o := range first.Objects {
		labels := o.Object.GetLabels()
		if labels[v1alpha1.LabelRevision] != "blue" || labels[v1alpha1.LabelComponent] != o.Component.Name {
			t.Errorf("%s %s has the labels %v", o.Entry.Kind, o.Entry.Name, labels)
		}
		if o.Entry.Kind != o.Object.GetKind() || o.Entry.Name != o.Object.GetName() || o.Entry.Namespace != o.Object.GetNamespace() || len(o.Entry.Digest) != 16 {
			t.Errorf("%s %s is entered as %+v", o.Object.GetKind(), o.Object.GetName(), o.Entry)
		}
	}
	// What a caller does with the objects stays with him.
	first.Objects[0].Object.SetLabels(nil)
	again, err := manifest.Render(loaded, "v1.36.3", "blue", demo(t))
	if err != nil {
		t.Fatal(err)
	}
	other, err := manifest.Render(load(t), "v1.36.3", "blue", demo(t))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(other, again); diff != "" {
		t.Errorf("two renderings of the same differ:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"edge", "istio-system"}, manifest.Namespaces(demo(t))); diff != "" {
		t.Error(diff)
	}
}

func TestRenderSaysWhatToChange(t *testing.T) {
	for reason, spoil := range map[string]func(*v1alpha1.MeshRevisionSpec){
		v1alpha1.ReasonUnknownVersion: func(s *v1alpha1.MeshRevisionSpec) { s.Version = "v9.9.9" },
		v1alpha1.ReasonInvalidValues: func(s *v1alpha1.MeshRevisionSpec) {
			s.Components[1].Values = &apiextensionsv1.JSON{Raw: []byte(`{"logLevel":"shouting"}`)}
		},
		v1alpha1.ReasonInvalidOverlay: func(s *v1alpha1.MeshRevisionSpec) {
			s.Overlays = []v1alpha1.Overlay{{Kind: "Deployment", Name: "nobody", Patch: &apiextensionsv1.JSON{Raw: []byte(`{}`)}}}
		},
	} {
		spec := demo(t)
		spoil(&spec)
		got, err := manifest.Render(load(t), "v1.36.3", "default", spec)
		if conditions.ReasonOf(err, "") != reason || conditions.KindOf(err) != conditions.Stalled {
			t.Errorf("%s: got %v", reason, err)
		}
		if len(got.Objects) > 0 || len(got.Definitions) > 0 {
			t.Errorf("%s: half a manifest was returned", reason)
		}
		if err != nil && strings.TrimSpace(err.Error()) == "" {
			t.Errorf("%s: says nothing", reason)
		}
	}
}
