// SPDX-License-Identifier: Apache-2.0

//go:build integration

package operator

import (
	"context"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

// changes are those of Ready of one MeshOperator, as a watcher sees them.
type changes struct{ seen chan metav1.Condition }

// watchReady watches a MeshOperator from now on.
func watchReady(t *testing.T, m *v1alpha1.MeshOperator) changes {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	all, err := dynamic.NewForConfig(world.server.Config)
	if err != nil {
		t.Fatal(err)
	}
	watched, err := all.Resource(v1alpha1.GroupVersion.WithResource("meshoperators")).Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + m.Name})
	if err != nil {
		t.Fatal(err)
	}
	out := changes{seen: make(chan metav1.Condition, 100)}
	go func() {
		defer watched.Stop()
		last := metav1.ConditionTrue
		for event := range watched.ResultChan() {
			now := &v1alpha1.MeshOperator{}
			content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(event.Object)
			if err != nil || runtime.DefaultUnstructuredConverter.FromUnstructured(content, now) != nil {
				continue
			}
			if c := meta.FindStatusCondition(now.Status.Conditions, v1alpha1.ConditionReady); c != nil && c.Status != last {
				last = c.Status
				out.seen <- *c
			}
		}
	}()
	return out
}

// next wants the next change to have the status, and all texts in its reason and message.
func (c changes) next(t *testing.T, want metav1.ConditionStatus, texts ...string) {
	t.Helper()
	select {
	case got := <-c.seen:
		for _, text := range texts {
			if all := got.Reason + ": " + got.Message; got.Status != want || !strings.Contains(all, text) {
				t.Errorf("Ready became %s %s; want %s with %q", got.Status, all, want, text)
			}
		}
	case <-time.After(10 * time.Second):
		t.Errorf("Ready did not become %s with %q", want, texts)
	}
}

// noDrift wants that none of the changes until now told of drift.
func (c changes) noDrift(t *testing.T) {
	t.Helper()
	for {
		select {
		case got := <-c.seen:
			if got.Reason == v1alpha1.ReasonDriftDetected {
				t.Errorf("Ready became %s %s: %s; want no drift", got.Status, got.Reason, got.Message)
			}
		default:
			return
		}
	}
}

// What the operator has not seen yet must not look finished to those who wait for it: by the rules of kstatus an object
// without a status is.
func TestUnseenIsNotFinished(t *testing.T) {
	for kind, text := range map[string]string{
		"MeshOperator":    `{apiVersion: operator.meshwright.dev/v1alpha1, metadata: {name: unseen}}`,
		"MeshRevision":    `{apiVersion: operator.meshwright.dev/v1alpha1, metadata: {name: unseen}, spec: {version: v0.1.0, namespace: unseen}}`,
		"MeshRevisionTag": `{apiVersion: operator.meshwright.dev/v1alpha1, metadata: {name: unseen}, spec: {revision: default}}`,
		"IstioOperator":   `{apiVersion: install.istio.io/v1alpha1, metadata: {name: unseen, namespace: default}}`,
	} {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
			t.Fatal(err)
		}
		u.SetKind(kind)
		if err := world.admin.Create(t.Context(), u, client.DryRunAll); err != nil {
			t.Fatal(err)
		}
		if seen, _, _ := unstructured.NestedInt64(u.Object, "status", "observedGeneration"); seen != -1 {
			t.Errorf("a new %s says that generation %d was seen, not -1", kind, seen)
		}
	}
}
