// SPDX-License-Identifier: Apache-2.0

// Package meshrevisiontag installs the webhooks of MeshRevisionTags, so that
// namespaces can say a name of their own for a revision.
package meshrevisiontag

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	predicates "sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/controllers/answer"
	"github.com/meshwright/meshwright/internal/apply"
	"github.com/meshwright/meshwright/internal/conditions"
	"github.com/meshwright/meshwright/internal/helm"
	"github.com/meshwright/meshwright/internal/selfcheck"
	"github.com/meshwright/meshwright/internal/tag"
)

// How long until a tag is looked at again without an event.
const (
	recheck        = 5 * time.Minute
	recheckWaiting = 5 * time.Second
)

// webhookKinds are those of what a tag installs.
var webhookKinds = []schema.GroupVersionKind{
	{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "MutatingWebhookConfiguration"},
	{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "ValidatingWebhookConfiguration"},
}

// Prober asks webhooks whether they answer.
type Prober interface {
	// Webhooks asks the webhooks of one name through the API server.
	Webhooks(ctx context.Context, webhooks selfcheck.Webhooks) error
}

// Reconciler reconciles MeshRevisionTags.
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
	// Prober sees whether the webhooks answer; nil means that nobody looks.
	Prober Prober
	// Events tells users what was done.
	Events events.EventRecorder
}

// SetupWithManager adds the controller and its watches to a manager, whose cache
// holds webhook configurations with our label only.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	toTag := handler.EnqueueRequestsFromMapFunc(func(_ context.Context, object client.Object) []reconcile.Request {
		name := tag.Of(object.GetLabels()[v1alpha1.LabelRevision])
		if name == "" {
			return nil
		}
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: name}}}
	})
	changed := predicates.Or(predicates.GenerationChangedPredicate{}, predicates.AnnotationChangedPredicate{})
	b := ctrl.NewControllerManagedBy(mgr).
		Named("meshrevisiontag").
		For(&v1alpha1.MeshRevisionTag{}, builder.WithPredicates(changed)).
		Watches(&v1alpha1.MeshRevision{}, handler.EnqueueRequestsFromMapFunc(r.everyTag), builder.WithPredicates(predicates.GenerationChangedPredicate{}))
	for _, kind := range webhookKinds {
		object := &unstructured.Unstructured{}
		object.SetGroupVersionKind(kind)
		b = b.Watches(object, toTag)
	}
	return b.Complete(r)
}

// everyTag maps a MeshRevision: a tag may stand for it, or have its name.
func (r *Reconciler) everyTag(ctx context.Context, _ client.Object) []reconcile.Request {
	var list v1alpha1.MeshRevisionTagList
	if err := r.Client.List(ctx, &list); err != nil {
		log.FromContext(ctx).Error(err, "listing MeshRevisionTags for a changed MeshRevision failed")
		return nil
	}
	out := make([]reconcile.Request, len(list.Items))
	for i := range list.Items {
		out[i].Name = list.Items[i].Name
	}
	return out
}

// Reconcile brings the webhooks of one tag nearer to what they should be. They go
// with the tag, and with the revision.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	found := &v1alpha1.MeshRevisionTag{}
	err := r.Client.Get(ctx, request.NamespacedName, found)
	if apierrors.IsNotFound(err) || err == nil && !found.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, r.withdraw(ctx, request.Name, nil)
	}
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("read MeshRevisionTag %s: %w", request.Name, err)
	}
	if found.Annotations[v1alpha1.AnnotationPaused] == "true" {
		log.FromContext(ctx).Info("paused by annotation", "annotation", v1alpha1.AnnotationPaused)
		return reconcile.Result{}, nil
	}
	before := found.DeepCopy()
	failure := r.install(ctx, found)
	conditions.Write(&found.Status.Conditions, conditions.Summary{
		Generation: found.Generation, Err: failure, Reason: v1alpha1.ReasonReady,
		Message: fmt.Sprintf("revision %s answers", found.Status.Revision), ErrorReason: v1alpha1.ReasonError,
	})
	if failure == nil || conditions.KindOf(failure) != conditions.Plain {
		found.Status.ObservedGeneration = found.Generation
	}
	if !equality.Semantic.DeepEqual(before.Status, found.Status) {
		if err := r.Client.Status().Patch(ctx, found, client.MergeFrom(before)); err != nil {
			return reconcile.Result{}, fmt.Errorf("patch status of MeshRevisionTag %s: %w", found.Name, client.IgnoreNotFound(err))
		}
	}
	return answer.Of(failure, recheck, recheckWaiting)
}

func (r *Reconciler) event(t *v1alpha1.MeshRevisionTag, reason, note string) {
	r.Events.Eventf(t, nil, corev1.EventTypeWarning, reason, "Apply", "%s", note)
}
