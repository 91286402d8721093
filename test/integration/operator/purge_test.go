// SPDX-License-Identifier: Apache-2.0

//go:build integration

package operator

import (
	"context"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

// TestPurge deletes a mesh with all that users wrote for it; a definition that somebody else looks after stays.
func TestPurge(t *testing.T) {
	podsStart.Store(true)
	controlPlaneWorks.Store(true)
	clean(t)
	start(t)
	ctx := context.Background()
	m := mesh(t, "purge", v1alpha1.MeshOperatorSpec{Profile: "minimal", Namespace: "mesh-purge", DeletionPolicy: v1alpha1.DeletionPurge})
	await(t, m, v1alpha1.ConditionReady, metav1.ConditionTrue, "ready")
	space := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "mesh-purge-users"}}
	put(t, space)
	rule := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"host": "a"}}}
	rule.SetGroupVersionKind(schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: "DestinationRule"})
	rule.SetNamespace(space.Name)
	rule.SetName("users")
	put(t, rule)
	theirs := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: "gateways.networking.istio.io"}}
	patch := []byte(`{"metadata":{"labels":{"app.kubernetes.io/managed-by":"somebody"}}}`)
	if err := world.admin.Patch(ctx, theirs, client.RawPatch("application/merge-patch+json", patch)); err != nil {
		t.Fatal(err)
	}
	if err := world.admin.Delete(ctx, m); err != nil {
		t.Fatal(err)
	}
	removed(t, m)
	var left apiextensionsv1.CustomResourceDefinitionList
	if err := world.admin.List(ctx, &left); err != nil {
		t.Fatal(err)
	}
	var names []string
	for i := range left.Items {
		if strings.HasSuffix(left.Items[i].Spec.Group, ".istio.io") && !slices.Contains(ownGroups, left.Items[i].Spec.Group) {
			names = append(names, left.Items[i].Name)
		}
	}
	if !slices.Equal(names, []string{theirs.Name}) {
		t.Errorf("of the mesh's definitions %v are left, want %s only", names, theirs.Name)
	}
	_ = world.admin.Delete(ctx, theirs)
}

// TestTakenOver: who installs a mesh again at once waits for the end of the one before, and gets a new one.
func TestTakenOver(t *testing.T) {
	podsStart.Store(true)
	controlPlaneWorks.Store(true)
	start(t)
	ctx := context.Background()
	first := mesh(t, "taken-over", v1alpha1.MeshOperatorSpec{Profile: "minimal", Namespace: "mesh-taken-over"})
	await(t, first, v1alpha1.ConditionReady, metav1.ConditionTrue, "ready")
	before := &v1alpha1.MeshRevision{}
	if err := world.admin.Get(ctx, client.ObjectKey{Name: "default"}, before); err != nil {
		t.Fatal(err)
	}
	if len(before.Finalizers) > 0 || len(first.Finalizers) > 0 {
		t.Errorf("finalizers are %v and %v, want none: who takes them off when no operator is there?", first.Finalizers, before.Finalizers)
	}
	if n := len(before.OwnerReferences); n != 2 || before.OwnerReferences[1].Kind != "ClusterRoleBinding" && before.OwnerReferences[0].Kind != "ClusterRoleBinding" {
		t.Errorf("owners are %+v, want the MeshOperator and the operator's ClusterRoleBinding", before.OwnerReferences)
	}
	if err := world.admin.Delete(ctx, first); err != nil {
		t.Fatal(err)
	}
	second := mesh(t, "taken-over", v1alpha1.MeshOperatorSpec{Profile: "minimal", Namespace: "mesh-taken-over"})
	await(t, second, v1alpha1.ConditionReady, metav1.ConditionTrue, "ready")
	after := &v1alpha1.MeshRevision{}
	if err := world.admin.Get(ctx, client.ObjectKey{Name: "default"}, after); err != nil {
		t.Fatal(err)
	}
	if after.UID == before.UID || !metav1.IsControlledBy(after, second) {
		t.Errorf("the MeshRevision is the old one, or somebody else's: %+v", after.ObjectMeta)
	}
}
