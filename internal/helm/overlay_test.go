// SPDX-License-Identifier: Apache-2.0

package helm_test

import (
	"errors"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/helm"
)

func objects(t *testing.T) []*unstructured.Unstructured {
	t.Helper()
	var out []*unstructured.Unstructured
	for _, text := range []string{
		"{apiVersion: apps/v1, kind: Deployment, metadata: {namespace: a, name: d}, spec: {replicas: 1, template: {spec: {containers: [{name: one, image: i}, {name: two, image: j}]}}}}",
		"{apiVersion: apps/v1, kind: Deployment, metadata: {namespace: b, name: d}, spec: {replicas: 1}}",
		"{apiVersion: example.org/v1, kind: Thing, metadata: {namespace: a, name: t}, spec: {list: [1, 2], keep: true}}",
	} {
		data, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(data); err != nil {
			t.Fatal(err)
		}
		out = append(out, object)
	}
	return out
}

func raw(text string) *apiextensionsv1.JSON { return &apiextensionsv1.JSON{Raw: []byte(text)} }

func TestOverlay(t *testing.T) {
	in := objects(t)
	err := helm.Overlay(in, []v1alpha1.Overlay{
		{Kind: "Deployment", Name: "d", Namespace: "a", Patch: raw(`{"spec":{"template":{"spec":{"containers":[{"name":"two","image":"k"}]}}}}`)},
		{Kind: "Deployment", Name: "d", JSONPatch: []v1alpha1.PatchOperation{{Op: "replace", Path: "/spec/replicas", Value: raw("3")}}},
		{Kind: "Thing", Name: "t", Patch: raw(`{"spec":{"list":[3],"keep":null}}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	containers, _, _ := unstructured.NestedSlice(in[0].Object, "spec", "template", "spec", "containers")
	if len(containers) != 2 || !strings.Contains(strings.Join([]string{name(containers[0]), name(containers[1])}, " "), "two:k") {
		t.Errorf("containers are not merged by name: %v", containers)
	}
	for i := range 2 {
		if n, _, _ := unstructured.NestedInt64(in[i].Object, "spec", "replicas"); n != 3 {
			t.Errorf("object %d has %d replicas", i, n)
		}
	}
	if list, _, _ := unstructured.NestedSlice(in[2].Object, "spec", "list"); len(list) != 1 {
		t.Errorf("list is %v", list)
	}
}

func name(container any) string {
	c := container.(map[string]any)
	return c["name"].(string) + ":" + c["image"].(string)
}

func TestOverlayErrors(t *testing.T) {
	for want, overlay := range map[string]v1alpha1.Overlay{
		"no object Deployment nobody": {Kind: "Deployment", Name: "nobody", Patch: raw(`{}`)},
		"no object Deployment d":      {Kind: "Deployment", Name: "d", Namespace: "c", Patch: raw(`{}`)},
		"must not change":             {Kind: "Thing", Name: "t", Patch: raw(`{"metadata":{"name":"other"}}`)},
		"strategic merge patch":       {Kind: "Deployment", Name: "d", Patch: raw(`{"spec":{"template":{"spec":{"containers":[{"image":"k"}]}}}}`)},
		"json patch":                  {Kind: "Thing", Name: "t", JSONPatch: []v1alpha1.PatchOperation{{Op: "remove", Path: "/spec/nothing"}}},
		"replace operation":           {Kind: "Thing", Name: "t", JSONPatch: []v1alpha1.PatchOperation{{Op: "replace", Path: "/spec/nothing", Value: raw("1")}}},
	} {
		t.Run(want, func(t *testing.T) {
			err := helm.Overlay(objects(t), []v1alpha1.Overlay{{Kind: "Thing", Name: "t", Patch: raw(`{}`)}, overlay})
			var wrong *helm.OverlayError
			if !errors.As(err, &wrong) || wrong.Index != 1 || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "spec.overlays[1]") {
				t.Errorf("got %v", err)
			}
		})
	}
}
