// SPDX-License-Identifier: Apache-2.0

package meshoperator

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/controllers/owner"
	"github.com/meshwright/meshwright/internal/apply"
	"github.com/meshwright/meshwright/internal/conditions"
	"github.com/meshwright/meshwright/internal/revision"
	"github.com/meshwright/meshwright/internal/trust"
	"github.com/meshwright/meshwright/internal/upgrade"
)

// write brings the MeshRevisions to what a layout says: control planes first,
// what leads to them then, and last those away that nobody needs.
func (r *Reconciler) write(ctx context.Context, mesh *v1alpha1.MeshOperator, spec v1alpha1.MeshOperatorSpec, o *observed, layout upgrade.Layout) error {
	front := revision.Name(spec)
	root, err := r.root(ctx, spec, layout)
	if err != nil {
		return err
	}
	plans, err := revision.PlanLayout(spec, layout, root)
	if err != nil {
		return conditions.Stall(v1alpha1.ReasonInvalidValues, "%v", err)
	}
	names := slices.Sorted(maps.Keys(plans))
	slices.SortStableFunc(names, func(a, b string) int {
		if (a == front) == (b == front) {
			return 0
		}
		if a == front {
			return 1
		}
		return -1
	})
	for _, name := range names {
		plan := plans[name]
		plan.DeletionPolicy = mesh.Spec.DeletionPolicy
		child, err := r.ensure(ctx, mesh, name, plan, o.children[name])
		if err != nil {
			return err
		}
		o.children[name] = child
	}
	for name, child := range o.children {
		if _, kept := plans[name]; kept || !child.DeletionTimestamp.IsZero() {
			continue
		}
		if err := r.Client.Delete(ctx, child, client.Preconditions{UID: &child.UID}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete MeshRevision %s: %w", name, err)
		}
		r.event(mesh, corev1.EventTypeNormal, "RevisionRetired", "MeshRevision "+name+" is deleted: nobody has needed it for the grace period")
	}
	return nil
}

// root is the PEM that the API server must trust where the webhooks of the name
// ask another control plane than the one of that name; nil where they do not.
func (r *Reconciler) root(ctx context.Context, spec v1alpha1.MeshOperatorSpec, layout upgrade.Layout) ([]byte, error) {
	if layout.Entry == revision.Name(spec) && (layout.Move == nil || len(layout.Move.Namespaces) == 0) {
		return nil, nil
	}
	root, err := trust.Roots(ctx, r.Reader, revision.Namespace(spec))
	if errors.Is(err, trust.ErrMissing) {
		return nil, conditions.Wait(v1alpha1.ReasonControlPlaneNotReady, 0, "%v", err)
	}
	return root, err
}

// ensure writes one MeshRevision, unless it is what is wanted.
func (r *Reconciler) ensure(ctx context.Context, mesh *v1alpha1.MeshOperator, name string, plan v1alpha1.MeshRevisionSpec, child *v1alpha1.MeshRevision) (*v1alpha1.MeshRevision, error) {
	if child == nil {
		if err := r.free(ctx, mesh, name); err != nil {
			return nil, err
		}
		return r.apply(ctx, mesh, name, plan)
	}
	if !child.DeletionTimestamp.IsZero() {
		return nil, conditions.Wait(v1alpha1.ReasonDeleting, 0, "MeshRevision %s is being deleted; it is created again when it is gone", name)
	}
	if equality.Semantic.DeepEqual(child.Spec, plan) && r.holds(child) {
		return child, nil
	}
	return r.apply(ctx, mesh, name, plan)
}

// holds says whether a MeshRevision has the operator as an owner.
func (r *Reconciler) holds(child *v1alpha1.MeshRevision) bool {
	return r.Operator == nil || slices.Contains(child.OwnerReferences, *r.Operator)
}

// free stalls when a MeshRevision exists that is not the mesh's.
func (r *Reconciler) free(ctx context.Context, mesh *v1alpha1.MeshOperator, name string) error {
	other := &v1alpha1.MeshRevision{}
	err := r.Reader.Get(ctx, types.NamespacedName{Name: name}, other)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read MeshRevision %s: %w", name, err)
	}
	if metav1.IsControlledBy(other, mesh) {
		return conditions.Wait(v1alpha1.ReasonProgressing, recheckRemoval, "MeshRevision %s was made a moment ago", name)
	}
	if orphaned, err := owner.Orphaned(ctx, r.Client, r.Reader, other); err != nil || orphaned {
		return cmp.Or(err, conditions.Wait(v1alpha1.ReasonDeleting, recheckRemoval,
			"MeshRevision %s is of a MeshOperator that was deleted, and is being removed; this one is installed then", name))
	}
	who := "was not made by a MeshOperator"
	if by := metav1.GetControllerOf(other); by != nil {
		who = "belongs to " + by.Kind + " " + by.Name
	}
	return conditions.Stall(v1alpha1.ReasonRevisionConflict,
		"MeshRevision %s exists and %s; choose another spec.revision, or delete that one", name, who)
}

func (r *Reconciler) apply(ctx context.Context, mesh *v1alpha1.MeshOperator, name string, plan v1alpha1.MeshRevisionSpec) (*v1alpha1.MeshRevision, error) {
	data, err := json.Marshal(plan)
	if err != nil {
		return nil, fmt.Errorf("encode MeshRevision %s: %w", name, err)
	}
	spec := map[string]any{}
	if err := json.Unmarshal(data, &spec); err != nil {
		return nil, fmt.Errorf("decode MeshRevision %s: %w", name, err)
	}
	wanted := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	wanted.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("MeshRevision"))
	wanted.SetName(name)
	wanted.SetLabels(map[string]string{apply.LabelManagedBy: apply.Manager})
	owners := []metav1.OwnerReference{*metav1.NewControllerRef(mesh, v1alpha1.GroupVersion.WithKind("MeshOperator"))}
	if r.Operator != nil {
		owners = append(owners, *r.Operator)
	}
	wanted.SetOwnerReferences(owners)
	err = r.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(wanted), client.FieldOwner(apply.Manager), client.ForceOwnership)
	if apierrors.IsInvalid(err) {
		return nil, conditions.Stall(v1alpha1.ReasonRejected, "%v", err)
	}
	if err != nil {
		return nil, fmt.Errorf("apply MeshRevision %s: %w", name, err)
	}
	child := &v1alpha1.MeshRevision{}
	if data, err = wanted.MarshalJSON(); err != nil {
		return nil, fmt.Errorf("encode MeshRevision %s: %w", name, err)
	}
	if err := json.Unmarshal(data, child); err != nil {
		return nil, fmt.Errorf("decode MeshRevision %s: %w", name, err)
	}
	return child, nil
}
