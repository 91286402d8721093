// SPDX-License-Identifier: Apache-2.0

// Package meshoperator turns a MeshOperator into the MeshRevision that
// installs it, and tells the user how that goes.
package meshoperator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/operator-framework/operator-lib/predicate"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	predicates "sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/controllers/answer"
	"github.com/meshwright/meshwright/internal/conditions"
	"github.com/meshwright/meshwright/internal/placement"
	"github.com/meshwright/meshwright/internal/profile"
	"github.com/meshwright/meshwright/internal/revision"
	"github.com/meshwright/meshwright/internal/rollout"
	"github.com/meshwright/meshwright/internal/upgrade"
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
	// Rollouts follows workloads while an upgrade moves them.
	Rollouts *rollout.Watch
	// Prober asks control planes how their proxies are; nil asks nothing.
	Prober Prober
	// Events tells users what was done.
	Events events.EventRecorder
	// Clock is the time.
	Clock clock.PassiveClock

	mu       sync.Mutex
	analyses map[string]analysed // by mesh
	moving   map[string]bool     // meshes whose workloads are being moved
}

// podDelay gathers what changes about pods: counts of them need not be of the second.
const podDelay = 10 * time.Second

// SetupWithManager adds the controller and its watches to a manager.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	running, err := predicate.NewPause[client.Object](v1alpha1.AnnotationPaused)
	if err != nil {
		return fmt.Errorf("predicate of %s: %w", v1alpha1.AnnotationPaused, err)
	}
	if err := mgr.GetFieldIndexer().IndexField(context.Background(), metadataOf("Pod"), byRevision, index); err != nil {
		return fmt.Errorf("index pods by their revision: %w", err)
	}
	changed := predicates.Or(predicates.GenerationChangedPredicate{}, predicates.AnnotationChangedPredicate{})
	return ctrl.NewControllerManagedBy(mgr).
		Named("meshoperator").
		For(&v1alpha1.MeshOperator{}, builder.WithPredicates(running, changed)).
		Owns(&v1alpha1.MeshRevision{}).
		WatchesMetadata(metadataOf("Pod"), r.later(podDelay, countsOtherwise)).
		WatchesMetadata(metadataOf("Namespace"), r.later(podDelay, countsOtherwise)).
		Watches(&v1alpha1.MeshRevisionTag{}, r.later(0, standsOtherwise)).
		Complete(r)
}

// countsOtherwise says whether a change of a pod or namespace changes what is
// counted: a pod that is ending does not count any more, and nothing else of its
// metadata does.
func countsOtherwise(before, after client.Object) bool {
	return (before.GetDeletionTimestamp() == nil) != (after.GetDeletionTimestamp() == nil) ||
		before.GetLabels()[placement.LabelRevision] != after.GetLabels()[placement.LabelRevision]
}

// standsOtherwise says whether a tag needs other revisions than before.
func standsOtherwise(before, after client.Object) bool {
	b, wasTag := before.(*v1alpha1.MeshRevisionTag)
	a, isTag := after.(*v1alpha1.MeshRevisionTag)
	return wasTag && isTag && (b.Spec.Revision != a.Spec.Revision || b.Status.Revision != a.Status.Revision)
}

// later looks at every mesh a while after something came, went, or changed in a
// way that matters.
func (r *Reconciler) later(delay time.Duration, matters func(before, after client.Object) bool) handler.EventHandler {
	all := func(ctx context.Context, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
		var list v1alpha1.MeshOperatorList
		if err := r.Client.List(ctx, &list); err != nil {
			log.FromContext(ctx).Error(err, "listing MeshOperators for what is on them failed")
			return
		}
		for i := range list.Items {
			q.AddAfter(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])}, delay)
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, _ event.CreateEvent, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			all(ctx, q)
		},
		DeleteFunc: func(ctx context.Context, _ event.DeleteEvent, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			all(ctx, q)
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			if matters(e.ObjectOld, e.ObjectNew) {
				all(ctx, q)
			}
		},
	}
}

// Reconcile brings one MeshOperator nearer to its spec.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	mesh := &v1alpha1.MeshOperator{}
	if err := r.Client.Get(ctx, request.NamespacedName, mesh); err != nil {
		r.moves(request.Name, false)
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if err := r.release(ctx, mesh); err != nil || !mesh.DeletionTimestamp.IsZero() {
		r.moves(request.Name, false)
		return reconcile.Result{}, err // What it made is its MeshRevisions' to remove.
	}
	if mesh.Annotations[v1alpha1.AnnotationPaused] == "true" {
		log.FromContext(ctx).Info("paused by annotation", "annotation", v1alpha1.AnnotationPaused)
		return reconcile.Result{}, nil
	}
	before := mesh.DeepCopy()
	message, after, failure := r.progress(ctx, mesh)
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
	return r.answer(failure, after)
}

// answer adds when the next decision is due to what the outcome says.
func (r *Reconciler) answer(failure error, after time.Duration) (reconcile.Result, error) {
	result, err := answer.Of(failure, 0, 0) // The watch on MeshRevisions tells.
	if err == nil && after > 0 && (result.RequeueAfter == 0 || after < result.RequeueAfter) {
		result.RequeueAfter = after
	}
	return result, err
}

// progress sees, decides and acts once. It returns the message of a mesh that is
// ready, or why it is not, and when to look again.
func (r *Reconciler) progress(ctx context.Context, mesh *v1alpha1.MeshOperator) (message string, after time.Duration, err error) {
	resolved, wanted, err := r.resolve(mesh)
	if err != nil {
		return "", 0, err
	}
	seen, err := r.observe(ctx, mesh, resolved, wanted)
	if err != nil {
		return "", 0, err
	}
	decision := upgrade.Decide(seen.world)
	if err := r.write(ctx, mesh, resolved, seen, decision.Layout); err != nil {
		return "", decision.After, err
	}
	if len(decision.Restarts) > 0 {
		if err := r.restart(ctx, mesh, decision.Status.To, decision.Restarts); err != nil {
			return "", decision.After, err
		}
	}
	r.tell(mesh, decision)
	mesh.Status.Upgrade = decision.Status
	mesh.Status.Revisions = revisionsOf(decision, seen.use)
	mesh.Status.Version = decision.Layout.Identities[decision.Layout.Entry].Version
	message, err = r.verdict(mesh, seen.children, decision)
	return message, decision.After, err
}

// resolve merges a spec with what lies under it, and says which control plane it asks for.
func (r *Reconciler) resolve(mesh *v1alpha1.MeshOperator) (v1alpha1.MeshOperatorSpec, v1alpha1.Identity, error) {
	spec := mesh.Spec
	spec.Platform = cmp.Or(spec.Platform, r.Platform.Name)
	resolved, err := profile.Resolve(spec)
	var unknown *profile.UnknownError
	if errors.As(err, &unknown) {
		return resolved, v1alpha1.Identity{}, conditions.Stall(v1alpha1.ReasonUnknownProfile, "%v", err)
	}
	if err != nil {
		return resolved, v1alpha1.Identity{}, conditions.Give(v1alpha1.ReasonError, "%v", err)
	}
	wanted, err := revision.IdentityOf(resolved, r.Platform)
	if err != nil {
		return resolved, wanted, conditions.Stall(v1alpha1.ReasonUnknownVersion, "%v", err)
	}
	if resolved.UpgradeStrategy != nil {
		if err := upgrade.Check(*resolved.UpgradeStrategy); err != nil {
			return resolved, wanted, conditions.Stall(v1alpha1.ReasonInvalidValues, "%v", err)
		}
	}
	mesh.Status.Platform, mesh.Status.Profile = resolved.Platform, resolved.Profile
	mesh.Status.Revision = revision.Name(resolved)
	return resolved, wanted, nil
}

func (r *Reconciler) now() time.Time {
	if r.Clock == nil {
		return time.Now()
	}
	return r.Clock.Now()
}

// moves takes note of whether a mesh's workloads are being moved, and ends the
// watch of workloads when none's are.
func (r *Reconciler) moves(mesh string, now bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.moving == nil {
		r.moving = map[string]bool{}
	}
	if now {
		r.moving[mesh] = true
		return
	}
	delete(r.moving, mesh)
	if len(r.moving) == 0 {
		r.Rollouts.Stop()
	}
}

func (r *Reconciler) event(mesh *v1alpha1.MeshOperator, eventType, reason, note string) {
	r.Events.Eventf(mesh, nil, eventType, reason, "Reconcile", "%s", note)
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
