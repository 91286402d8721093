// SPDX-License-Identifier: Apache-2.0

// Package istiooperator turns an IstioOperator into the MeshOperator that says
// the same, and tells the user how that goes and what is not said there.
package istiooperator

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	predicates "sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	installv1alpha1 "github.com/meshwright/meshwright/api/install/v1alpha1"
	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/controllers/answer"
	"github.com/meshwright/meshwright/internal/conditions"
	"github.com/meshwright/meshwright/internal/istiooperator"
)

// Reconciler reconciles IstioOperators. It reads them as they are: a typed
// object would lose the fields that only users know.
type Reconciler struct {
	// Client reads from caches and writes.
	Client client.Client
	// Reader reads from the API server.
	Reader client.Reader
	// Events tells users.
	Events events.EventRecorder
}

// SetupWithManager adds the controller and its watches to a manager.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	changed := predicates.Or(predicates.GenerationChangedPredicate{}, predicates.AnnotationChangedPredicate{}, finalizersChanged{})
	return ctrl.NewControllerManagedBy(mgr).
		Named("istiooperator").
		For(newObject(), builder.WithPredicates(changed)).
		// Whoever waits for a revision learns that it is free.
		Watches(newObject(), handler.EnqueueRequestsFromMapFunc(r.rivals), builder.WithPredicates(changed)).
		Watches(&v1alpha1.MeshOperator{}, handler.EnqueueRequestsFromMapFunc(r.rivals)).
		Complete(r)
}

func newObject() *unstructured.Unstructured {
	out := &unstructured.Unstructured{}
	out.SetGroupVersionKind(installv1alpha1.GroupVersion.WithKind(installv1alpha1.Kind))
	return out
}

// Reconcile brings one IstioOperator nearer to its spec.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	object := newObject()
	if err := r.Client.Get(ctx, request.NamespacedName, object); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if object.GetDeletionTimestamp() != nil {
		return r.finish(ctx, object)
	}
	if by := pausedBy(object); by != "" {
		log.FromContext(ctx).Info("paused by annotation", "annotation", by)
		return reconcile.Result{}, nil
	}
	status := statusOf(object)
	before := *status.DeepCopy()
	message, failure := r.install(ctx, object, status)
	conditions.Write(&status.Conditions, conditions.Summary{
		Generation: object.GetGeneration(), Err: failure,
		Reason: v1alpha1.ReasonReady, Message: message, ErrorReason: v1alpha1.ReasonError,
	})
	if failure == nil || conditions.KindOf(failure) != conditions.Plain {
		status.ObservedGeneration = object.GetGeneration()
	}
	if err := r.write(ctx, object, before, status); err != nil {
		return reconcile.Result{}, errors.Join(failure, err)
	}
	if before.ObservedGeneration != status.ObservedGeneration && len(status.Unmapped) > 0 {
		r.tell(object, status.Unmapped)
	}
	return answer.Of(failure, 0, 0) // The watch on the MeshOperator tells.
}

// install converts an IstioOperator and applies what it becomes.
func (r *Reconciler) install(ctx context.Context, object *unstructured.Unstructured, status *installv1alpha1.IstioOperatorStatus) (string, error) {
	if isForeign(object) {
		return "", conditions.Stall(v1alpha1.ReasonObjectConflict,
			"Istio's operator looks after this object: it has the finalizer %s; remove that operator, then the finalizer, or put the annotation %s: \"true\" on this object to hand it over",
			foreignFinalizer, v1alpha1.AnnotationAdopt)
	}
	if err := r.protect(ctx, object); err != nil {
		return "", err
	}
	spec, unmapped, err := istiooperator.Convert(object.GetNamespace(), specOf(object))
	var unknown *istiooperator.ProfileError
	var refused *istiooperator.Error
	switch {
	case errors.As(err, &unknown):
		return "", conditions.Stall(v1alpha1.ReasonUnknownProfile, "%v", err)
	case errors.As(err, &refused):
		return "", conditions.Stall(v1alpha1.ReasonInvalidValues, "%v", err)
	case err != nil:
		return "", conditions.Give(v1alpha1.ReasonError, "%v", err)
	}
	status.Unmapped = bounded(unmapped)
	mesh, err := r.claim(ctx, object, spec)
	if err != nil {
		if conditions.KindOf(err) == conditions.Stalled {
			status.MeshOperator = ""
		}
		return "", err
	}
	status.MeshOperator = Name(client.ObjectKeyFromObject(object))
	if mesh == nil || !same(mesh.Spec, spec) {
		if mesh, err = r.apply(ctx, object, spec); err != nil {
			return "", err
		}
	}
	return mirror(mesh, len(unmapped))
}

// protect keeps an object until what was made for it is gone.
func (r *Reconciler) protect(ctx context.Context, object *unstructured.Unstructured) error {
	before := object.DeepCopy()
	if !controllerutil.AddFinalizer(object, v1alpha1.Finalizer) {
		return nil
	}
	// A patch of the metadata: the spec is the user's.
	err := r.Client.Patch(ctx, object, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	if err != nil {
		return fmt.Errorf("add finalizer to IstioOperator %s: %w", client.ObjectKeyFromObject(object), err)
	}
	return nil
}

// mirror returns the message of Ready, or why the mesh is not ready.
func mirror(mesh *v1alpha1.MeshOperator, unmapped int) (string, error) {
	if mesh.Status.ObservedGeneration != mesh.Generation {
		if mesh.Annotations[v1alpha1.AnnotationPaused] == "true" {
			return "", conditions.Wait(v1alpha1.ReasonProgressing, 0, "MeshOperator %s is paused by its annotation %s", mesh.Name, v1alpha1.AnnotationPaused)
		}
		return "", conditions.Wait(v1alpha1.ReasonProgressing, 0, "MeshOperator %s is not acted on yet", mesh.Name)
	}
	if c := meta.FindStatusCondition(mesh.Status.Conditions, v1alpha1.ConditionStalled); c != nil && c.Status == metav1.ConditionTrue {
		return "", conditions.Stall(c.Reason, "MeshOperator %s: %s", mesh.Name, c.Message)
	}
	ready := meta.FindStatusCondition(mesh.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil || ready.Status != metav1.ConditionTrue {
		return "", waiting(mesh, ready)
	}
	if unmapped > 0 {
		return fmt.Sprintf("%s; %d fields have no effect, see status.unmapped", ready.Message, unmapped), nil
	}
	return ready.Message, nil
}

func waiting(mesh *v1alpha1.MeshOperator, ready *metav1.Condition) error {
	c := meta.FindStatusCondition(mesh.Status.Conditions, v1alpha1.ConditionReconciling)
	if c == nil {
		c = ready
	}
	if c == nil {
		return conditions.Wait(v1alpha1.ReasonProgressing, 0, "MeshOperator %s is being worked on", mesh.Name)
	}
	return conditions.Wait(c.Reason, 0, "MeshOperator %s: %s", mesh.Name, c.Message)
}

// specOf returns the spec as the user wrote it.
func specOf(object *unstructured.Unstructured) map[string]any {
	spec, _ := object.Object["spec"].(map[string]any)
	return spec
}

// statusOf returns the status; an empty one for what is not a status of ours.
func statusOf(object *unstructured.Unstructured) *installv1alpha1.IstioOperatorStatus {
	out := &installv1alpha1.IstioOperatorStatus{}
	if status, ok := object.Object["status"].(map[string]any); ok {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(status, out); err != nil {
			return &installv1alpha1.IstioOperatorStatus{}
		}
	}
	return out
}

// write patches the status of an object when it changed.
func (r *Reconciler) write(ctx context.Context, object *unstructured.Unstructured, before installv1alpha1.IstioOperatorStatus, status *installv1alpha1.IstioOperatorStatus) error {
	status.Status = health(status.Conditions)
	if equality.Semantic.DeepEqual(before, *status) {
		return nil
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(status)
	if err != nil {
		return fmt.Errorf("encode status of IstioOperator %s: %w", client.ObjectKeyFromObject(object), err)
	}
	changed := object.DeepCopy()
	changed.Object["status"] = content
	if err := r.Client.Status().Patch(ctx, changed, client.MergeFrom(object)); err != nil {
		return fmt.Errorf("patch status of IstioOperator %s: %w", client.ObjectKeyFromObject(object), err)
	}
	return nil
}

// health is the conditions in one word.
func health(list []metav1.Condition) installv1alpha1.Health {
	switch {
	case meta.IsStatusConditionTrue(list, v1alpha1.ConditionStalled):
		return installv1alpha1.Failed
	case meta.IsStatusConditionTrue(list, v1alpha1.ConditionReady):
		return installv1alpha1.Healthy
	}
	return installv1alpha1.Reconciling
}

// key returns the name that an IstioOperator is known by.
func key(object client.Object) string {
	return types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}.String()
}
