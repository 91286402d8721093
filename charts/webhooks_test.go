// SPDX-License-Identifier: Apache-2.0

package charts_test

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/meshwright/meshwright/internal/helm"
	"github.com/meshwright/meshwright/internal/placement"
)

// webhooksOf are values of the control plane's chart while others answer for a revision.
var webhooksOf = map[string]map[string]any{
	// A tag, or a name whose control plane is one of another identity.
	"webhooks-answered": {"webhooks": map[string]any{
		"answeredBy": "default-5f", "caBundle": base64.StdEncoding.EncodeToString([]byte("PEM")),
	}},
	"webhooks-split": {"webhooks": map[string]any{
		"move": map[string]any{"revision": "default-5f", "upTo": "3fffffffffffffff"},
	}},
	"webhooks-step": {"revision": "stable", "webhooks": map[string]any{
		"caBundle": base64.StdEncoding.EncodeToString([]byte("PEM")), "answeredBy": "stable-1",
		"validation": map[string]any{"default": false},
		"move": map[string]any{"revision": "stable-2", "upTo": "00000000000000ff", "namespaces": []any{
			map[string]any{"matchLabels": map[string]any{"tier": "test"}},
			map[string]any{
				"matchLabels":      map[string]any{"a": "1", "b": "2"},
				"matchExpressions": []any{map[string]any{"key": "tier", "operator": "NotIn", "values": []any{"prod"}}},
			},
		}},
	}},
}

func renderControlPlane(t *testing.T, charts *helm.Charts, parts []any, values map[string]any) []*unstructured.Unstructured {
	t.Helper()
	all := map[string]any{"parts": parts}
	for key, value := range values {
		all[key] = value
	}
	objects, err := charts.Render(helm.Release{Chart: "controlplane", Name: "x", Namespace: "istio-system", Values: all}, kubeVersion)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// TestParts: each object is of exactly one part.
func TestParts(t *testing.T) {
	charts := load(t)
	names := func(parts ...any) []string {
		var out []string
		for _, object := range renderControlPlane(t, charts, parts, map[string]any{"replicas": 2}) {
			out = append(out, describe(object))
		}
		slices.Sort(out)
		return out
	}
	webhooks := names("webhooks")
	if want := []string{"MutatingWebhookConfiguration /meshwright-injector", "ValidatingWebhookConfiguration /meshwright-validator"}; !slices.Equal(webhooks, want) {
		t.Errorf("webhooks alone are %v", webhooks)
	}
	workload := names("workload")
	both := slices.Concat(workload, webhooks)
	slices.Sort(both)
	if all := names("workload", "webhooks"); !slices.Equal(all, both) || slices.Contains(workload, webhooks[0]) {
		t.Errorf("all are %v, workload %v", all, workload)
	}
	for _, bad := range []any{[]any{}, []any{"gateway"}, []any{"webhooks", "webhooks"}} {
		if _, err := charts.Render(helm.Release{Chart: "controlplane", Name: "x", Namespace: "y", Values: map[string]any{"parts": bad}}, kubeVersion); err == nil {
			t.Errorf("parts %v are taken", bad)
		}
	}
}

// TestResourceScope: an administrator's part and that of who may do nothing outside of a namespace make up the whole.
func TestResourceScope(t *testing.T) {
	charts := load(t)
	objects := func(scope string) []string {
		var out []string
		for _, object := range renderControlPlane(t, charts, []any{"workload", "webhooks"}, map[string]any{"replicas": 2, "resourceScope": scope}) {
			if inside := object.GetNamespace() != ""; scope != "all" && inside != (scope == "namespace") {
				t.Errorf("scope %s has %s", scope, describe(object))
			}
			out = append(out, describe(object))
		}
		slices.Sort(out)
		return out
	}
	both := slices.Concat(objects("cluster"), objects("namespace"))
	slices.Sort(both)
	if all := objects("all"); !slices.Equal(all, both) || len(objects("cluster")) != 4 {
		t.Errorf("the whole is %v, its parts %v", all, both)
	}
}

// TestEveryRevisionValidates: objects without a revision are read by every control plane, so each is asked about them,
// whatever its name; a revision that is told not to, and a tag, are asked about those of their name alone.
func TestEveryRevisionValidates(t *testing.T) {
	charts := load(t)
	for name, c := range map[string]struct {
		values map[string]any
		all    bool
	}{
		"default":       {map[string]any{}, true},
		"another":       {map[string]any{"revision": "stable"}, true},
		"told not to":   {map[string]any{"revision": "stable", "webhooks": map[string]any{"validation": map[string]any{"default": false}}}, false},
		"a default too": {map[string]any{"webhooks": map[string]any{"validation": map[string]any{"default": false}}}, false},
	} {
		var validator admissionregistrationv1.ValidatingWebhookConfiguration
		objects := renderControlPlane(t, charts, []any{"webhooks"}, c.values)
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(objects[1].Object, &validator); err != nil {
			t.Fatal(err)
		}
		h := validator.Webhooks[0]
		labelled := h.ObjectSelector != nil && len(h.ObjectSelector.MatchExpressions) == 1
		if labelled == c.all || c.all != (len(h.MatchConditions) == 1) {
			t.Errorf("%s: selector %+v, conditions %+v; want objects without a revision: %t", name, h.ObjectSelector, h.MatchConditions, c.all)
		}
	}
}

// TestWebhookPaths: what the chart writes the control plane understands, and names are unique.
func TestWebhookPaths(t *testing.T) {
	charts := load(t)
	for name, values := range webhooksOf {
		var injector admissionregistrationv1.MutatingWebhookConfiguration
		objects := renderControlPlane(t, charts, []any{"webhooks"}, values)
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(objects[0].Object, &injector); err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, h := range injector.Webhooks {
			if seen[h.Name] || strings.Count(h.Name, ".") < 2 {
				t.Errorf("%s: name %s", name, h.Name)
			}
			seen[h.Name] = true
			path, err := placement.ParsePath(*h.ClientConfig.Service.Path)
			if err != nil {
				t.Errorf("%s: %s: %v", name, h.Name, err)
			}
			if step := strings.HasPrefix(h.Name, "step-"); path.Name == "" || step && path.Split != nil {
				t.Errorf("%s: %s asks at %s", name, h.Name, path)
			}
		}
	}
	for name, move := range map[string]map[string]any{
		"a place of nobody":   {"upTo": "00000000000000ff"},
		"no place":            {"revision": "a", "upTo": "ff"},
		"namespaces of none":  {"namespaces": []any{map[string]any{"matchLabels": map[string]any{"a": "b"}}}},
		"all of them":         {"revision": "a", "namespaces": []any{map[string]any{}}},
		"a path for revision": {"revision": "a/b"},
	} {
		_, err := charts.Render(helm.Release{Chart: "controlplane", Name: "x", Namespace: "y", Values: map[string]any{"webhooks": map[string]any{"move": move}}}, kubeVersion)
		if err == nil {
			t.Errorf("%s: %v is taken", name, move)
		}
	}
}
