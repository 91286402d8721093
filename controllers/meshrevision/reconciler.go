// SPDX-License-Identifier: Apache-2.0

// Package meshrevision installs a MeshRevision: it renders the charts, applies
// the objects in phases that wait for each other's health, puts drift back,
// and removes what is no longer wanted.
package meshrevision

import (
	"context"
	"fmt"
	"time"

	"github.com/operator-framework/operator-lib/predicate"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/log"
	predicates "sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/controllers/answer"
	"github.com/meshwright/meshwright/controllers/owner"
	"github.com/meshwright/meshwright/internal/apply"
	"github.com/meshwright/meshwright/internal/conditions"
	"github.com/meshwright/meshwright/internal/helm"
)

// How long until an object is looked at again without an event.
const (
	recheck        = 5 * time.Minute
	recheckWaiting = 5 * time.Second
)

// Reconciler reconciles MeshRevisions.
type Reconciler struct {
	// Client reads from caches and writes.
	Client client.Client
	// Reader reads from the API server.
	Reader client.Reader
	// Applier applies what the charts render.
	Applier *apply.Applier
	// Charts are the charts that the operator carries.
	Charts *helm.Charts
	// KubeVersion is the API server's version, which templates see.
	KubeVersion string
	// Prober asks what was installed whether it answers; nil asks nothing.
	Prober Prober
	// Events tells users what was done.
	Events events.EventRecorder

	// Operator stands for the operator as an owner; nil when nothing does.
	Operator *metav1.OwnerReference

	checked  checked
	removals removals
	shown    shown
}

// SetupWithManager adds the controller and its watches to a manager.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	running, err := predicate.NewPause[client.Object](v1alpha1.AnnotationPaused)
	if err != nil {
		return fmt.Errorf("predicate of %s: %w", v1alpha1.AnnotationPaused, err)
	}
	changed := predicates.Or(predicates.GenerationChangedPredicate{}, predicates.AnnotationChangedPredicate{})
	b := ctrl.NewControllerManagedBy(mgr).
		Named("meshrevision").
		For(&v1alpha1.MeshRevision{}, builder.WithPredicates(running, changed)).
		WithOptions(controller.Options{MaxConcurrentReconciles: 2})
	return r.watch(b).Complete(r)
}

// Reconcile brings one MeshRevision nearer to its spec.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (result reconcile.Result, err error) {
	revision := &v1alpha1.MeshRevision{}
	if err := r.Client.Get(ctx, request.NamespacedName, revision); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	orphaned, err := owner.Orphaned(ctx, r.Client, r.Reader, revision)
	if err != nil {
		return reconcile.Result{}, err
	}
	if orphaned || !revision.DeletionTimestamp.IsZero() {
		return r.finish(ctx, revision)
	}
	if revision.Annotations[v1alpha1.AnnotationPaused] == "true" {
		log.FromContext(ctx).Info("paused by annotation", "annotation", v1alpha1.AnnotationPaused)
		return reconcile.Result{}, nil
	}
	before := revision.DeepCopy()
	s := &scope{revision: revision}
	failure := r.shown.outcome(s, r.run(ctx, s), time.Now())
	conditions.Write(&revision.Status.Conditions, conditions.Summary{
		Generation: revision.Generation, Err: failure,
		Reason: v1alpha1.ReasonReady, Message: s.message(), ErrorReason: v1alpha1.ReasonError,
	})
	if conditions.KindOf(failure) != conditions.Plain || failure == nil {
		revision.Status.ObservedGeneration = revision.Generation
	}
	if err := r.patchStatus(ctx, before, revision); err != nil {
		return reconcile.Result{}, err
	}
	measure(revision, failure == nil)
	r.announce(before, revision)
	return answer.Of(failure, recheck, recheckWaiting)
}

// announce reports each change between ready and not ready once, when it is in the status.
func (r *Reconciler) announce(before, after *v1alpha1.MeshRevision) {
	was := meta.FindStatusCondition(before.Status.Conditions, v1alpha1.ConditionReady)
	is := meta.FindStatusCondition(after.Status.Conditions, v1alpha1.ConditionReady)
	switch {
	case is == nil || was != nil && was.Status == is.Status && was.ObservedGeneration == is.ObservedGeneration:
	case is.Status == metav1.ConditionTrue:
		r.event(after, corev1.EventTypeNormal, "Installed", "Apply", is.Message)
	case was == nil:
		r.event(after, corev1.EventTypeNormal, "InstallStarted", "Apply", "installing revision "+after.Name+": "+is.Message)
	case is.Reason != v1alpha1.ReasonDriftDetected && was.Status == metav1.ConditionTrue:
		r.event(after, corev1.EventTypeWarning, "NotReady", "Observe", is.Reason+": "+is.Message)
	}
}

// patchStatus writes the status when it differs from before.
func (r *Reconciler) patchStatus(ctx context.Context, before, after *v1alpha1.MeshRevision) error {
	if equality.Semantic.DeepEqual(before.Status, after.Status) {
		return nil
	}
	wanted := after.Status.DeepCopy()
	if err := r.Client.Status().Patch(ctx, after, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("patch status of MeshRevision %s: %w", after.Name, client.IgnoreNotFound(err))
	}
	after.Status = *wanted
	return nil
}

func (r *Reconciler) event(revision *v1alpha1.MeshRevision, eventType, reason, action, note string) {
	if len(note) > 1000 {
		note = note[:1000]
	}
	r.Events.Eventf(revision, nil, eventType, reason, action, "%s", note)
}
