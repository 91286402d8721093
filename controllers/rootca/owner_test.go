// SPDX-License-Identifier: Apache-2.0

package rootca

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/meshwright/meshwright/internal/trust"
)

// ownersOf reconciles namespace a and returns the owners of its ConfigMap.
func ownersOf(t *testing.T, c client.Client, owner Owner) []string {
	t.Helper()
	r := &Reconciler{Client: c, Root: []byte("PEM"), Owner: owner}
	if _, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Name: "a"}}); err != nil {
		t.Fatal(err)
	}
	found := &corev1.ConfigMap{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "a", Name: trust.ConfigMap}, found); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, o := range found.OwnerReferences {
		out = append(out, fmt.Sprintf("%s %s %s %s", o.APIVersion, o.Kind, o.Name, o.UID))
	}
	slices.Sort(out)
	return out
}

// TestOwners: the ConfigMaps go with the last of the meshes, whoever installed them, and an owner that was made anew
// takes the place of the one before: a reference to that alone would have them deleted for ever.
func TestOwners(t *testing.T) {
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "meshwright-a", UID: "1"}}
	c := fake.NewClientBuilder().WithObjects(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, role).Build()
	at := time.Unix(0, 0)
	helm := ClusterRole(c, "meshwright-a", func() time.Time { return at })
	expect := func(owner Owner, want ...string) {
		t.Helper()
		if got := ownersOf(t, c, owner); !slices.Equal(got, want) {
			t.Errorf("owners are %q, want %q", got, want)
		}
	}
	const first = "rbac.authorization.k8s.io/v1 ClusterRole meshwright-a 1"
	expect(helm, first)
	const mesh = "operator.meshwright.dev/v1alpha1 MeshOperator mesh m"
	expect(MeshOperator("mesh", "m"), mesh, first)
	expect(helm, mesh, first)
	expect(nil, mesh, first)

	if err := c.Delete(t.Context(), role); err != nil {
		t.Fatal(err)
	}
	at = at.Add(time.Minute)
	again := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "meshwright-a", UID: "2"}}
	if err := c.Create(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	expect(helm, mesh, "rbac.authorization.k8s.io/v1 ClusterRole meshwright-a 2")
}

// TestNoClusterRole: rights that come from elsewhere make no owner, and no error.
func TestNoClusterRole(t *testing.T) {
	c := fake.NewClientBuilder().Build()
	got, err := ClusterRole(c, "meshwright-a", time.Now)(context.Background())
	if err != nil || got != nil {
		t.Errorf("the owner is %v, %v", got, err)
	}
}
