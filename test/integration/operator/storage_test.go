// SPDX-License-Identifier: Apache-2.0

//go:build integration

package operator

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/apply"
)

// TestStoredVersions upgrades a definition that stores its objects in a version which the new one does not have: no
// object is lost, though the operator is killed in between.
func TestStoredVersions(t *testing.T) {
	podsStart.Store(true)
	controlPlaneWorks.Store(true)
	clean(t)
	ctx := context.Background()
	data, err := os.ReadFile("../../../charts/base/files/crds/telemetry.istio.io_telemetries.yaml")
	if err != nil {
		t.Fatal(err)
	}
	old := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.Unmarshal(data, old); err != nil {
		t.Fatal(err)
	}
	ancient := *old.Spec.Versions[0].DeepCopy()
	for i := range old.Spec.Versions {
		old.Spec.Versions[i].Storage = false
	}
	ancient.Name, ancient.Storage, ancient.Served = "v1alpha0", true, true
	old.Spec.Versions = append(old.Spec.Versions, ancient)
	old.Status = apiextensionsv1.CustomResourceDefinitionStatus{}
	old.Labels = map[string]string{apply.LabelManagedBy: apply.Manager, apply.LabelVersion: "v0.0.1"}
	if err := world.admin.Create(ctx, old); err != nil {
		t.Fatal(err)
	}
	space := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "mesh-stored"}}
	put(t, space)
	const many = 600
	for i := range many {
		object := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{}}}
		object.SetGroupVersionKind(schema.GroupVersionKind{Group: "telemetry.istio.io", Version: "v1alpha0", Kind: "Telemetry"})
		object.SetNamespace(space.Name)
		object.SetName(fmt.Sprintf("t-%d", i))
		eventually(t, 20*time.Second, func() error { return world.admin.Create(ctx, object) })
	}
	first := start(t)
	m := mesh(t, "stored", v1alpha1.MeshOperatorSpec{Profile: "minimal", Namespace: "mesh-stored"})
	await(t, m, v1alpha1.ConditionCRDsReady, metav1.ConditionFalse, "objects that were stored as v1alpha0 are written again as")
	first.kill()
	start(t)
	await(t, m, v1alpha1.ConditionReady, metav1.ConditionTrue, "ready")
	now := &apiextensionsv1.CustomResourceDefinition{}
	if err := world.admin.Get(ctx, client.ObjectKeyFromObject(old), now); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(now.Status.StoredVersions, "v1alpha0") || len(now.Status.StoredVersions) != 1 {
		t.Errorf("stored versions are %v", now.Status.StoredVersions)
	}
	if slices.ContainsFunc(now.Spec.Versions, func(v apiextensionsv1.CustomResourceDefinitionVersion) bool { return v.Name == "v1alpha0" }) {
		t.Error("the old version is still served")
	}
	// What was not stored again could not be read.
	left := &unstructured.UnstructuredList{}
	left.SetGroupVersionKind(schema.GroupVersionKind{Group: "telemetry.istio.io", Version: now.Status.StoredVersions[0], Kind: "TelemetryList"})
	if err := world.admin.List(ctx, left, client.InNamespace(space.Name)); err != nil || len(left.Items) != many {
		t.Errorf("%d objects are left of %d: %v", len(left.Items), many, err)
	}
}
