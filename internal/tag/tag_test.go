// SPDX-License-Identifier: Apache-2.0

package tag

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

func spec(values string) v1alpha1.MeshRevisionSpec {
	return v1alpha1.MeshRevisionSpec{Components: []v1alpha1.Component{
		{Name: "base", Chart: v1alpha1.ChartBase, Namespace: "elsewhere"},
		{Name: "controlplane", Chart: v1alpha1.ChartControlPlane, Namespace: "istio-system", Values: &apiextensionsv1.JSON{Raw: []byte(values)}},
	}}
}

func TestRelease(t *testing.T) {
	for name, c := range map[string]struct {
		values    string
		webhooks  map[string]any
		answering string
	}{
		"a revision that answers itself": {
			`{"revision":"stable","replicas":3}`,
			map[string]any{"answeredBy": "stable", "caBundle": "UEVN", "validation": map[string]any{"default": false}},
			"stable",
		},
		"a name behind which workloads move": {
			`{"revision":"stable","webhooks":{"answeredBy":"stable-1","move":{"revision":"stable-2","upTo":"00000000000000ff"},
			  "injection":{"failurePolicy":"Ignore"},"validation":{"default":true,"failurePolicy":"Fail"}}}`,
			map[string]any{
				"answeredBy": "stable-1", "caBundle": "UEVN", "move": map[string]any{"revision": "stable-2", "upTo": "00000000000000ff"},
				"injection": map[string]any{"failurePolicy": "Ignore"}, "validation": map[string]any{"default": false, "failurePolicy": "Fail"},
			},
			"stable-1",
		},
	} {
		got, answering, err := Release("prod", "stable", spec(c.values), []byte("PEM"))
		if err != nil {
			t.Fatal(err)
		}
		if got.Chart != "controlplane" || got.Namespace != "istio-system" || answering != c.answering {
			t.Errorf("%s: %+v, answered by %s", name, got, answering)
		}
		want := map[string]any{"revision": "prod", "parts": []any{"webhooks"}, "webhooks": c.webhooks}
		if diff := cmp.Diff(want, got.Values); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	for values, want := range map[string]bool{`{}`: false, `{"webhooks":{"validation":{"default":true}}}`: false, `{"webhooks":{"validation":{"default":false}}}`: true} {
		got, _, err := Release("default", "stable", spec(values), nil)
		if err != nil {
			t.Fatal(err)
		}
		if v := got.Values["webhooks"].(map[string]any)["validation"].(map[string]any)["default"]; v != want {
			t.Errorf("the tag default of a revision with %s validates objects without a revision: %v", values, v)
		}
	}
	if _, _, err := Release("prod", "gateways", v1alpha1.MeshRevisionSpec{}, nil); !errors.Is(err, ErrNoControlPlane) {
		t.Errorf("without a control plane: %v", err)
	}
}

func TestUsers(t *testing.T) {
	tag := func(name, wanted, answers string) v1alpha1.MeshRevisionTag {
		return v1alpha1.MeshRevisionTag{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.MeshRevisionTagSpec{Revision: wanted}, Status: v1alpha1.MeshRevisionTagStatus{Revision: answers},
		}
	}
	tags := []v1alpha1.MeshRevisionTag{tag("prod", "stable", "stable-1"), tag("new", "stable-2", "stable-2"), tag("early", "stable", ""), tag("late", "stable", "stable")}
	for revision, want := range map[string][]string{"stable": {"late"}, "stable-1": {"prod"}, "stable-2": {"new"}, "stable-3": nil} {
		if diff := cmp.Diff(want, Users("stable", revision, tags)); diff != "" {
			t.Errorf("%s: %s", revision, diff)
		}
	}
}

func TestOwner(t *testing.T) {
	if Of(Owner("prod")) != "prod" || Of("prod") != "" || Of("") != "" {
		t.Errorf("owners are %q, %q, %q", Of(Owner("prod")), Of("prod"), Of(""))
	}
}
