// SPDX-License-Identifier: Apache-2.0

// Package meshoperator turns a MeshOperator into the MeshRevision that
// installs it, and tells the user how that goes.
package meshoperator

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/operator-framework/operator-lib/predicate"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"
	predicates "sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/controllers/answer"
	"github.com/meshwright/meshwright/controllers/owner"
	"github.com/meshwright/meshwright/internal/apply"
	"github.com/meshwright/meshwright/internal/conditions"
	"github.com/meshwright/meshwright/internal/profile"
	"github.com/meshwright/meshwright/internal/revision"
)

// recheckRemoval is how soon a mesh is looked at again that waits for the end of another one.
const recheckRemoval = 2 * time.Second

// Reconciler reconciles MeshOperators.
type Reconciler struct {
	// Client reads from caches and writes.
	Client client.Client
	// Reader reads from the API server.
	Reader client.Reader
	// Operator stands for the operator as an owner; nil when nothing does.
	Operator *metav1.OwnerReference
	// Platform is what a spec need not say.
	Platform revision.Platform
}

// SetupWithManager adds the controller and its watches to a manager.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	running, err := predicate.NewPause[client.Object](v1alpha1.AnnotationPaused)
	if err != nil {
		return fmt.Errorf("predicate of %s: %w", v1alpha1.AnnotationPaused, err)
	}
	changed := predicates.Or(predicates.GenerationChangedPredicate{}, predicates.AnnotationChangedPredicate{})
	return ctrl.NewControllerManagedBy(mgr).
		Named("meshoperator").
		For(&v1alpha1.MeshOperator{}, builder.WithPredicates(running, changed)).
		Owns(&v1alpha1.MeshRevision{}).
		Complete(r)
}

// Reconcile brings one MeshOperator nearer to its spec.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	mesh := &v1alpha1.MeshOperator{}
	if err := r.Client.Get(ctx, request.NamespacedName, mesh); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if err := r.release(ctx, mesh); err != nil || !mesh.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, err // What it made is its MeshRevisions' to remove.
	}
	if mesh.Annotations[v1alpha1.AnnotationPaused] == "true" {
		log.FromContext(ctx).Info("paused by annotation", "annotation", v1alpha1.AnnotationPaused)
		return reconcile.Result{}, nil
	}
	before := mesh.DeepCopy()
	child, failure := r.resolve(ctx, mesh)
	message := ""
	if failure == nil {
		message, failure = mirror(mesh, child)
	}
	conditions.Write(&mesh.Status.Conditions, conditions.Summary{
		Generation: mesh.Generation, Err: failure,
		Reason: v1alpha1.ReasonReady, Message: message, ErrorReason: v1alpha1.ReasonError,
	})
	if failure == nil || conditions.KindOf(failure) != conditions.Plain {
		mesh.Status.ObservedGeneration = mesh.Generation
	}
	if !equality.Semantic.DeepEqual(before.Status, mesh.Status) {
		if err := r.Client.Status().Patch(ctx, mesh, client.MergeFrom(before)); err != nil {
			return reconcile.Result{}, fmt.Errorf("patch status of MeshOperator %s: %w", mesh.Name, err)
		}
	}
	return answer.Of(failure, 0, 0) // The watch on the MeshRevision tells.
}

// resolve writes the MeshRevision of a MeshOperator and returns it.
func (r *Reconciler) resolve(ctx context.Context, mesh *v1alpha1.MeshOperator) (*v1alpha1.MeshRevision, error) {
	spec := mesh.Spec
	spec.Platform = cmp.Or(spec.Platform, r.Platform.Name)
	resolved, err := profile.Resolve(spec)
	var unknown *profile.UnknownError
	if errors.As(err, &unknown) {
		return nil, conditions.Stall(v1alpha1.ReasonUnknownProfile, "%v", err)
	}
	if err != nil {
		return nil, conditions.Give(v1alpha1.ReasonError, "%v", err)
	}
	plan, err := revision.Plan(resolved, r.Platform)
	if errors.Is(err, revision.ErrUnknownVersion) {
		return nil, conditions.Stall(v1alpha1.ReasonUnknownVersion, "%v", err)
	}
	if err != nil {
		return nil, conditions.Stall(v1alpha1.ReasonInvalidValues, "%v", err)
	}
	mesh.Status.Platform = resolved.Platform
	plan.DeletionPolicy = mesh.Spec.DeletionPolicy
	mesh.Status.Profile, mesh.Status.Version, mesh.Status.Revision = resolved.Profile, plan.Version, revision.Name(mesh.Spec)

	child := &v1alpha1.MeshRevision{}
	err = r.Client.Get(ctx, types.NamespacedName{Name: revision.Name(mesh.Spec)}, child)
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("read MeshRevision %s: %w", revision.Name(mesh.Spec), err)
	}
	if err == nil {
		if by := metav1.GetControllerOf(child); by == nil || by.UID != mesh.UID {
			return nil, r.conflict(ctx, child, by)
		}
		if !child.DeletionTimestamp.IsZero() {
			return nil, conditions.Wait(v1alpha1.ReasonDeleting, 0, "MeshRevision %s is being deleted; it is created again when it is gone", child.Name)
		}
		if equality.Semantic.DeepEqual(child.Spec, plan) && r.holds(child) {
			return child, nil
		}
	}
	return r.apply(ctx, mesh, plan)
}

// holds says whether a MeshRevision has the operator as an owner.
func (r *Reconciler) holds(child *v1alpha1.MeshRevision) bool {
	return r.Operator == nil || slices.Contains(child.OwnerReferences, *r.Operator)
}

func (r *Reconciler) conflict(ctx context.Context, child *v1alpha1.MeshRevision, by *metav1.OwnerReference) error {
	if orphaned, err := owner.Orphaned(ctx, r.Client, r.Reader, child); err != nil || orphaned {
		return cmp.Or(err, conditions.Wait(v1alpha1.ReasonDeleting, recheckRemoval,
			"MeshRevision %s is of a MeshOperator that was deleted, and is being removed; this one is installed then", child.Name))
	}
	who := "was not made by a MeshOperator"
	if by != nil {
		who = "belongs to " + by.Kind + " " + by.Name
	}
	return conditions.Stall(v1alpha1.ReasonRevisionConflict,
		"MeshRevision %s exists and %s; choose another spec.revision, or delete that one", child.Name, who)
}

func (r *Reconciler) apply(ctx context.Context, mesh *v1alpha1.MeshOperator, plan v1alpha1.MeshRevisionSpec) (*v1alpha1.MeshRevision, error) {
	data, err := json.Marshal(plan)
	if err != nil {
		return nil, fmt.Errorf("encode MeshRevision: %w", err)
	}
	spec := map[string]any{}
	if err := json.Unmarshal(data, &spec); err != nil {
		return nil, fmt.Errorf("decode MeshRevision: %w", err)
	}
	wanted := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	wanted.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("MeshRevision"))
	wanted.SetName(revision.Name(mesh.Spec))
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
		return nil, fmt.Errorf("apply MeshRevision %s: %w", wanted.GetName(), err)
	}
	child := &v1alpha1.MeshRevision{}
	if data, err = wanted.MarshalJSON(); err != nil {
		return nil, fmt.Errorf("encode MeshRevision %s: %w", wanted.GetName(), err)
	}
	if err := json.Unmarshal(data, child); err != nil {
		return nil, fmt.Errorf("decode MeshRevision %s: %w", wanted.GetName(), err)
	}
	return child, nil
}

// release takes off the finalizer that operators before this one set.
func (r *Reconciler) release(ctx context.Context, mesh *v1alpha1.MeshOperator) error {
	before := mesh.DeepCopy()
	if !controllerutil.RemoveFinalizer(mesh, v1alpha1.Finalizer) {
		return nil
	}
	if err := r.Client.Patch(ctx, mesh, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("remove finalizer of MeshOperator %s: %w", mesh.Name, err)
	}
	return nil
}
