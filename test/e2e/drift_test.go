// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/test/e2e/env"
)

const (
	// Drift is told and put back within these.
	toldLimit     = 10 * time.Second
	restoredLimit = 30 * time.Second
)

// Every object that the operator owns is deleted, and edited: each time Ready becomes False with a reason that names
// the object, and everything is as it was soon after.
func testEveryObjectIsPutBack(t *testing.T) {
	installed(t)
	ctx := t.Context()
	meshes, err := cluster.Resource(ctx, env.MeshOperator, "")
	must(t, err)
	all, err := meshes.List(ctx, metav1.ListOptions{})
	must(t, err)
	if len(all.Items) != 1 {
		t.Fatalf("there are %d MeshOperators, want one", len(all.Items))
	}
	revision, err := cluster.Get(ctx, env.MeshRevision, "", "default")
	must(t, err)
	entries, _, err := unstructured.NestedSlice(revision.Object, "status", "inventory")
	must(t, err)
	if len(entries) < 15 {
		t.Fatalf("the inventory has %d objects, want all of a mesh", len(entries))
	}
	slowest := map[string]string{}
	var longest [2]time.Duration
	for _, entry := range entries {
		e, _ := entry.(map[string]any)
		text := func(key string) string { s, _ := e[key].(string); return s }
		gvk := schema.GroupVersionKind{Group: text("group"), Version: text("version"), Kind: text("kind")}
		for _, how := range []string{"deleted", "changed"} {
			told, restored := disturb(t, meshes, all.Items[0].GetName(), gvk, text("namespace"), text("name"), how)
			for n, took := range []time.Duration{told, restored} {
				if took > longest[n] {
					longest[n] = took
					slowest[[]string{"told", "restored"}[n]] = fmt.Sprintf("%s %s/%s %s", gvk.Kind, text("namespace"), text("name"), how)
				}
			}
		}
	}
	t.Logf("%d objects deleted and edited; the last to be told: %s, %.1f s; the last to be restored: %s, %.1f s",
		len(entries), slowest["told"], longest[0].Seconds(), slowest["restored"], longest[1].Seconds())
}

// disturb deletes or edits one object and returns how long it took until Ready was False, and True again.
func disturb(t *testing.T, meshes dynamic.ResourceInterface, mesh string, gvk schema.GroupVersionKind, namespace, name, how string) (told, restored time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), restoredLimit)
	defer cancel()
	what := fmt.Sprintf("%s %s", gvk.Kind, strings.TrimPrefix(namespace+"/"+name, "/"))
	watched, err := meshes.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + mesh})
	must(t, err)
	defer watched.Stop()
	objects, err := cluster.Resource(ctx, gvk, namespace)
	must(t, err)
	before, err := objects.Get(ctx, name, metav1.GetOptions{})
	must(t, err)
	start := time.Now()
	if how == "deleted" {
		must(t, objects.Delete(ctx, name, metav1.DeleteOptions{}))
	} else {
		patch := []byte(`{"metadata":{"labels":{"` + v1alpha1.LabelComponent + `":"somebodys"}}}`)
		_, err := objects.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "somebody"})
		must(t, err)
	}
	for event := range watched.ResultChan() {
		u, ok := event.Object.(*unstructured.Unstructured)
		if !ok {
			continue
		}
		c, _ := env.ConditionOf(u, "Ready")
		switch {
		case c.Status == "False" && told == 0:
			told = time.Since(start)
			if c.Reason != v1alpha1.ReasonDriftDetected || !strings.Contains(c.Message, what+" was "+how) {
				t.Errorf("%s was %s: Ready is False with %s: %s", what, how, c.Reason, c.Message)
			}
		case c.Status == "True" && told != 0:
			restored = time.Since(start)
		}
		if restored != 0 {
			break
		}
	}
	if told == 0 || told > toldLimit || restored == 0 {
		t.Errorf("%s was %s: told after %v (want at most %v), Ready again after %v (want at most %v)", what, how, told, toldLimit, restored, restoredLimit)
		return told, restored
	}
	after, err := objects.Get(ctx, name, metav1.GetOptions{})
	must(t, err)
	if got, want := after.GetLabels()[v1alpha1.LabelComponent], before.GetLabels()[v1alpha1.LabelComponent]; got != want || how == "deleted" && after.GetUID() == before.GetUID() {
		t.Errorf("%s was %s and is not as it was: component %s, want %s", what, how, got, want)
	}
	return told, restored
}
