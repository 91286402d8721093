// SPDX-License-Identifier: Apache-2.0

package meshrevisiontag

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/log"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/controllers/answer"
	"github.com/meshwright/meshwright/controllers/owner"
	"github.com/meshwright/meshwright/internal/apply"
	"github.com/meshwright/meshwright/internal/conditions"
	"github.com/meshwright/meshwright/internal/health"
	"github.com/meshwright/meshwright/internal/helm"
	"github.com/meshwright/meshwright/internal/selfcheck"
	"github.com/meshwright/meshwright/internal/tag"
	"github.com/meshwright/meshwright/internal/trust"
)

// recheckUnanswered is short: an API server takes a second to learn of a new webhook.
const recheckUnanswered = time.Second

// install applies the webhooks of a tag and removes those that it has no longer.
func (r *Reconciler) install(ctx context.Context, t *v1alpha1.MeshRevisionTag) error {
	revision, err := r.target(ctx, t)
	if err != nil {
		return err
	}
	root, err := trust.Roots(ctx, r.Reader, revision.Spec.Namespace)
	if errors.Is(err, trust.ErrMissing) {
		return conditions.Wait(v1alpha1.ReasonControlPlaneNotReady, time.Second, "%v", err)
	}
	if err != nil {
		return err
	}
	release, answering, err := tag.Release(t.Name, revision.Name, revision.Spec, root)
	if errors.Is(err, tag.ErrNoControlPlane) {
		return conditions.Stall(v1alpha1.ReasonNotInstalled, "spec.revision: %v", err)
	}
	if err != nil {
		return conditions.Stall(v1alpha1.ReasonInvalidValues, "%v", err)
	}
	objects, err := r.Charts.Render(release, r.KubeVersion)
	if err != nil {
		return conditions.Stall(v1alpha1.ReasonInvalidValues, "webhooks of MeshRevision %s: %v", revision.Name, err)
	}
	if err := r.applyAll(ctx, t, revision, objects, t.Status.Revision != ""); err != nil {
		return err
	}
	t.Status.Revision = answering
	return r.probe(ctx, t, release, objects)
}

// target is the MeshRevision that a tag stands for. A tag has a name of its own:
// two configurations for one name would have two proxies wanted for a pod.
func (r *Reconciler) target(ctx context.Context, t *v1alpha1.MeshRevisionTag) (*v1alpha1.MeshRevision, error) {
	out := &v1alpha1.MeshRevision{}
	err := r.Client.Get(ctx, types.NamespacedName{Name: t.Name}, out)
	if err == nil {
		return nil, conditions.Stall(v1alpha1.ReasonRevisionConflict,
			"there is a MeshRevision %s, which serves this name itself; delete this tag, or that revision", t.Name)
	}
	if !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("read MeshRevision %s: %w", t.Name, err)
	}
	err = r.Client.Get(ctx, types.NamespacedName{Name: t.Spec.Revision}, out)
	if apierrors.IsNotFound(err) || err == nil && !out.DeletionTimestamp.IsZero() {
		return nil, conditions.Wait(v1alpha1.ReasonControlPlaneNotReady, recheck,
			"spec.revision: there is no MeshRevision %s; webhooks that lead to another stay as they are until there is one", t.Spec.Revision)
	}
	if err != nil {
		return nil, fmt.Errorf("read MeshRevision %s: %w", t.Spec.Revision, err)
	}
	if orphaned, err := owner.Orphaned(ctx, r.Client, r.Reader, out); err != nil || orphaned {
		// Whoever removes it takes the webhooks of its tags along.
		t.Status.Revision = ""
		return nil, cmp.Or(err, conditions.Wait(v1alpha1.ReasonControlPlaneNotReady, recheck,
			"spec.revision: MeshRevision %s is being removed, and the webhooks with it; they come back with the next of this name", t.Spec.Revision))
	}
	return out, nil
}

func (r *Reconciler) applyAll(ctx context.Context, t *v1alpha1.MeshRevisionTag, revision *v1alpha1.MeshRevision, objects []*unstructured.Unstructured, known bool) error {
	rendered := map[schema.GroupVersionKind]bool{}
	for _, object := range objects {
		rendered[object.GroupVersionKind()] = true
		labels := object.GetLabels()
		labels[v1alpha1.LabelRevision] = tag.Owner(t.Name)
		object.SetLabels(labels)
		// With the mesh go the webhooks that lead to it, also when no operator is there any more.
		object.SetOwnerReferences([]metav1.OwnerReference{owner.OfRevision(revision)})
		result, err := r.Applier.Apply(ctx, object, known)
		if err != nil {
			return answer.Refused(err)
		}
		r.tell(ctx, t, object, result, known)
	}
	return r.withdraw(ctx, t.Name, rendered)
}

// withdraw deletes the webhooks of a tag but those of some kinds.
func (r *Reconciler) withdraw(ctx context.Context, name string, kept map[schema.GroupVersionKind]bool) error {
	for _, kind := range webhookKinds {
		if kept[kind] {
			continue
		}
		entry := v1alpha1.InventoryEntry{Group: kind.Group, Version: kind.Version, Kind: kind.Kind, Name: configuration(kind.Kind, name)}
		if _, err := r.Applier.Delete(ctx, entry, tag.Owner(name)); err != nil {
			return err
		}
	}
	return nil
}

// configuration is what the chart calls the configuration of a name.
func configuration(kind, name string) string {
	out := "meshwright-validator"
	if kind == "MutatingWebhookConfiguration" {
		out = "meshwright-injector"
	}
	if name == v1alpha1.DefaultRevision {
		return out
	}
	return out + "-" + name
}

// tell logs and reports what an apply did that nobody asked for.
func (r *Reconciler) tell(ctx context.Context, t *v1alpha1.MeshRevisionTag, object *unstructured.Unstructured, result apply.Result, known bool) {
	if !result.Changed {
		return
	}
	name := health.Name(object)
	log.FromContext(ctx).Info("applied object", "object", name, "created", result.Created)
	switch {
	case result.Created && known:
		r.event(t, "DriftCorrected", name+" was deleted and is back")
	case len(result.Taken) > 0:
		parts := make([]string, len(result.Taken))
		for i, c := range result.Taken {
			parts[i] = c.String()
		}
		r.event(t, "DriftCorrected", name+": put back "+strings.Join(parts, ", "))
	}
}

// probe lets the API server ask the webhooks of the tag's name.
func (r *Reconciler) probe(ctx context.Context, t *v1alpha1.MeshRevisionTag, release helm.Release, objects []*unstructured.Unstructured) error {
	if r.Prober == nil {
		return nil
	}
	wanted := selfcheck.Webhooks{Namespace: release.Namespace, Revision: t.Name}
	for _, object := range objects {
		wanted.Add(object.GetKind())
	}
	if err := r.Prober.Webhooks(ctx, wanted); err != nil {
		return conditions.Wait(v1alpha1.ReasonWebhooksNotReady, recheckUnanswered, "the webhooks of the tag do not answer: %v", err)
	}
	return nil
}
