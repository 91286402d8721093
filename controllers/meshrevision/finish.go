// SPDX-License-Identifier: Apache-2.0

package meshrevision

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/controllers/answer"
	"github.com/meshwright/meshwright/internal/conditions"
)

// deletionPatience bounds how long a removal waits for objects that others
// hold; then it ends, and an event names what remains.
const deletionPatience = 5 * time.Minute

// removals remembers when the removal of a MeshRevision began. An operator that
// is started again has new patience.
type removals struct {
	mu    sync.Mutex
	since map[types.UID]time.Time
}

// begin returns when the removal began, and whether that is now.
func (r *removals) begin(uid types.UID, now time.Time) (time.Time, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at, ok := r.since[uid]; ok {
		return at, false
	}
	if r.since == nil {
		r.since = map[types.UID]time.Time{}
	}
	r.since[uid] = now
	return now, true
}

func (r *removals) end(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.since, uid)
}

// finish removes everything that was made for a MeshRevision in order, then the
// MeshRevision. One that was deleted by itself has nothing to wait for: what
// belongs to it the garbage collector removes.
func (r *Reconciler) finish(ctx context.Context, revision *v1alpha1.MeshRevision) (reconcile.Result, error) {
	if !revision.DeletionTimestamp.IsZero() && !controllerutil.ContainsFinalizer(revision, v1alpha1.Finalizer) {
		return reconcile.Result{}, nil
	}
	since, begins := r.removals.begin(revision.UID, time.Now())
	if begins {
		r.event(revision, corev1.EventTypeNormal, "RemovalStarted", "Delete", "removing what was installed for revision "+revision.Name)
	}
	failure := r.remove(ctx, revision)
	if failure != nil && time.Since(since) <= deletionPatience {
		before := revision.DeepCopy()
		conditions.Write(&revision.Status.Conditions, conditions.Summary{
			Generation: revision.Generation, Err: failure, ErrorReason: v1alpha1.ReasonDeleting,
		})
		if err := r.patchStatus(ctx, before, revision); err != nil {
			return reconcile.Result{}, err
		}
		return answer.Of(failure, recheck, recheckWaiting)
	}
	if failure != nil {
		removalsEnded.WithLabelValues("incomplete").Inc()
		r.event(revision, corev1.EventTypeWarning, "DeletionIncomplete", "Delete",
			"gave up after "+deletionPatience.String()+": "+failure.Error())
	} else {
		removalsEnded.WithLabelValues("complete").Inc()
		r.event(revision, corev1.EventTypeNormal, "Removed", "Delete", "all that was installed for revision "+revision.Name+" is gone")
	}
	if err := r.disown(ctx, revision); err != nil {
		return reconcile.Result{}, err
	}
	if err := r.release(ctx, revision); err != nil {
		return reconcile.Result{}, err
	}
	r.removals.end(revision.UID)
	forget(revision)
	return reconcile.Result{}, nil
}

// release lets a MeshRevision go: its deletion, and the finalizer that operators before this one set.
func (r *Reconciler) release(ctx context.Context, revision *v1alpha1.MeshRevision) error {
	before := revision.DeepCopy()
	if controllerutil.RemoveFinalizer(revision, v1alpha1.Finalizer) {
		if err := r.Client.Patch(ctx, revision, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("remove finalizer of MeshRevision %s: %w", revision.Name, err)
		}
	}
	err := r.Client.Delete(ctx, revision, client.Preconditions{UID: &revision.UID}, client.PropagationPolicy(metav1.DeletePropagationBackground))
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("delete MeshRevision %s: %w", revision.Name, err)
	}
	return nil
}

// disown takes the namespaces that stay away from the garbage collector.
func (r *Reconciler) disown(ctx context.Context, revision *v1alpha1.MeshRevision) error {
	var namespaces corev1.NamespaceList
	if err := r.Reader.List(ctx, &namespaces, client.HasLabels{v1alpha1.LabelRevision}); err != nil {
		return fmt.Errorf("list namespaces: %w", err)
	}
	for i := range namespaces.Items {
		namespace := &namespaces.Items[i]
		mine := slices.ContainsFunc(namespace.OwnerReferences, func(o metav1.OwnerReference) bool { return o.UID == revision.UID })
		if !mine || namespace.DeletionTimestamp != nil {
			continue
		}
		before := namespace.DeepCopy()
		namespace.OwnerReferences = nil
		err := r.Client.Patch(ctx, namespace, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("keep namespace %s: %w", namespace.Name, err)
		}
	}
	return nil
}
