// SPDX-License-Identifier: Apache-2.0

package istiooperator

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/conditions"
)

// deletionPatience is longer than that of a MeshOperator, which gives up first.
const deletionPatience = 9 * time.Minute

// finish deletes the MeshOperator, waits for its end, and removes the finalizer.
func (r *Reconciler) finish(ctx context.Context, object *unstructured.Unstructured) (reconcile.Result, error) {
	if !controllerutil.ContainsFinalizer(object, v1alpha1.Finalizer) {
		return reconcile.Result{}, nil
	}
	mesh := &v1alpha1.MeshOperator{}
	name := Name(client.ObjectKeyFromObject(object))
	err := r.Reader.Get(ctx, types.NamespacedName{Name: name}, mesh)
	if err != nil && !apierrors.IsNotFound(err) {
		return reconcile.Result{}, fmt.Errorf("read MeshOperator %s: %w", name, err)
	}
	if err == nil && mesh.Annotations[annotationSource] == key(object) {
		if time.Since(object.GetDeletionTimestamp().Time) < deletionPatience {
			return r.await(ctx, object, mesh)
		}
		r.Events.Eventf(object, nil, corev1.EventTypeWarning, "DeletionIncomplete", "Delete",
			"MeshOperator %s is still there; the operator waits no longer", name)
	}
	err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
		latest := newObject()
		if err := r.Reader.Get(ctx, client.ObjectKeyFromObject(object), latest); err != nil {
			return err
		}
		before := latest.DeepCopy()
		controllerutil.RemoveFinalizer(latest, v1alpha1.Finalizer)
		return r.Client.Patch(ctx, latest, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return reconcile.Result{}, fmt.Errorf("remove finalizer of IstioOperator %s: %w", key(object), err)
	}
	return reconcile.Result{}, nil
}

// await asks for the deletion of the MeshOperator and tells what it waits for.
func (r *Reconciler) await(ctx context.Context, object *unstructured.Unstructured, mesh *v1alpha1.MeshOperator) (reconcile.Result, error) {
	if mesh.DeletionTimestamp.IsZero() {
		if err := r.Client.Delete(ctx, mesh, client.Preconditions{UID: &mesh.UID}); err != nil && !apierrors.IsNotFound(err) {
			return reconcile.Result{}, fmt.Errorf("delete MeshOperator %s: %w", mesh.Name, err)
		}
	}
	status := statusOf(object)
	before := *status.DeepCopy()
	progress := "it is being worked on"
	for _, c := range mesh.Status.Conditions {
		if c.Type == v1alpha1.ConditionReconciling && c.Message != "" {
			progress = c.Message
		}
	}
	conditions.Write(&status.Conditions, conditions.Summary{
		Generation: object.GetGeneration(),
		Err:        conditions.Wait(v1alpha1.ReasonDeleting, 0, "deleting MeshOperator %s: %s", mesh.Name, progress),
	})
	if err := r.write(ctx, object, before, status); err != nil && !apierrors.IsNotFound(err) {
		return reconcile.Result{}, err
	}
	return reconcile.Result{RequeueAfter: 2 * time.Second}, nil
}
