// SPDX-License-Identifier: Apache-2.0

package meshrevision

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/controllers/owner"
	"github.com/meshwright/meshwright/internal/apply"
	"github.com/meshwright/meshwright/internal/conditions"
	"github.com/meshwright/meshwright/internal/report"
	"github.com/meshwright/meshwright/internal/trust"
)

// What the control planes of a namespace share and made themselves, beside report.Board: the mesh's CA, and the lease of
// the one that leads.
const (
	authoritySecret = "meshwright-ca"
	leaderLease     = "meshwright"
)

// prune deletes what is in the inventory and no longer rendered. It runs only
// when everything wanted is healthy, so a replacement serves before the old goes.
func (r *Reconciler) prune(ctx context.Context, s *scope) error {
	if s.gate != nil {
		return nil
	}
	if !has(stageGateways)(s) {
		s.revision.Status.Gateways = nil
	}
	var kept, obsolete []v1alpha1.InventoryEntry
	for _, entry := range s.revision.Status.Inventory {
		if slices.ContainsFunc(s.items, func(i *item) bool { return same(i.entry, entry) }) {
			kept = append(kept, entry)
			continue
		}
		obsolete = append(obsolete, entry)
	}
	left, err := r.deleteAll(ctx, s.revision.Name, obsolete)
	if err != nil {
		return err
	}
	s.revision.Status.Inventory = slices.Concat(kept, left)
	if len(left) > 0 {
		return conditions.Wait(v1alpha1.ReasonPruning, time.Second, "%s", pending(left))
	}
	return nil
}

// deleteAll asks for the deletion of entries, last installed first, and
// returns those that are not gone yet.
func (r *Reconciler) deleteAll(ctx context.Context, revision string, entries []v1alpha1.InventoryEntry) ([]v1alpha1.InventoryEntry, error) {
	var left []v1alpha1.InventoryEntry
	for _, entry := range slices.Backward(entries) {
		gone, err := r.Applier.Delete(ctx, entry, revision)
		if err != nil {
			return nil, err
		}
		if !gone {
			left = append(left, entry)
		}
	}
	slices.Reverse(left)
	return left, nil
}

// remove deletes all that was made for a revision: the webhooks of every
// revision that goes, so that nothing waits for an answer that will not come;
// then the rest; then what the control plane left; then the namespaces. CRDs
// stay, with the objects, unless they are to be purged.
func (r *Reconciler) remove(ctx context.Context, revision *v1alpha1.MeshRevision) error {
	others, going, err := r.others(ctx, revision)
	if err != nil {
		return err
	}
	hooks, rest := split(revision.Status.Inventory)
	for _, step := range []func() ([]v1alpha1.InventoryEntry, error){
		func() ([]v1alpha1.InventoryEntry, error) { return r.deleteAll(ctx, revision.Name, hooks) },
		func() ([]v1alpha1.InventoryEntry, error) { return r.deleteWebhooks(ctx, going) },
		func() ([]v1alpha1.InventoryEntry, error) { return r.deleteAll(ctx, revision.Name, rest) },
	} {
		left, err := step()
		if err != nil {
			return err
		}
		if len(left) > 0 {
			return conditions.Wait(v1alpha1.ReasonDeleting, time.Second, "%s", pending(left))
		}
	}
	strangers, err := r.strangers(ctx)
	if err != nil {
		return err
	}
	if err := r.removeLeftovers(ctx, revision, others, strangers); err != nil {
		return err
	}
	if err := r.purge(ctx, revision, len(others)+len(strangers)); err != nil {
		return err
	}
	ending, err := r.removeNamespaces(ctx, revision, others)
	if err != nil {
		return err
	}
	if len(ending) > 0 {
		return conditions.Wait(v1alpha1.ReasonDeleting, time.Second, "waiting for the end of namespace %s", strings.Join(ending, ", "))
	}
	return nil
}

func split(inventory []v1alpha1.InventoryEntry) (hooks, rest []v1alpha1.InventoryEntry) {
	for _, entry := range inventory {
		if isWebhook(entry.Kind) {
			hooks = append(hooks, entry)
			continue
		}
		rest = append(rest, entry)
	}
	return hooks, rest
}

// deleteWebhooks asks for the deletion of the webhooks that belong to
// revisions, those of tags among them, and returns those that are not gone yet.
func (r *Reconciler) deleteWebhooks(ctx context.Context, revisions []types.UID) ([]v1alpha1.InventoryEntry, error) {
	var left []v1alpha1.InventoryEntry
	for _, kind := range Owned {
		if !isWebhook(kind.Kind) {
			continue
		}
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		if err := r.Reader.List(ctx, list, client.HasLabels{v1alpha1.LabelRevision}); err != nil {
			return nil, fmt.Errorf("list %s: %w", kind.Kind, err)
		}
		for i := range list.Items {
			object := &list.Items[i]
			goes := slices.ContainsFunc(object.OwnerReferences, func(o metav1.OwnerReference) bool { return slices.Contains(revisions, o.UID) })
			if !goes {
				continue
			}
			entry := v1alpha1.InventoryEntry{Group: kind.Group, Version: kind.Version, Kind: kind.Kind, Name: object.Name}
			gone, err := r.Applier.Delete(ctx, entry, object.Labels[v1alpha1.LabelRevision])
			if err != nil {
				return nil, err
			}
			if !gone {
				left = append(left, entry)
			}
		}
	}
	return left, nil
}

// others returns the revisions that stay, and those that go, this one among them.
func (r *Reconciler) others(ctx context.Context, revision *v1alpha1.MeshRevision) (stay []v1alpha1.MeshRevision, going []types.UID, err error) {
	var list v1alpha1.MeshRevisionList
	if err := r.Reader.List(ctx, &list); err != nil {
		return nil, nil, fmt.Errorf("list MeshRevisions: %w", err)
	}
	going = []types.UID{revision.UID}
	for _, other := range list.Items {
		if other.UID == revision.UID || other.DeletionTimestamp != nil {
			continue
		}
		orphaned, err := owner.Orphaned(ctx, r.Client, r.Reader, &other)
		if err != nil {
			return nil, nil, err
		}
		if orphaned {
			going = append(going, other.UID)
			continue
		}
		stay = append(stay, other)
	}
	return stay, going, nil
}

// strangers returns the namespaces of control planes that somebody else installed, such as Helm.
func (r *Reconciler) strangers(ctx context.Context) ([]string, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("DeploymentList"))
	if err := r.Reader.List(ctx, list, client.MatchingLabels{"app.kubernetes.io/part-of": "meshwright", "app.kubernetes.io/component": "controlplane"}); err != nil {
		return nil, fmt.Errorf("list control planes: %w", err)
	}
	var out []string
	for i := range list.Items {
		if d := &list.Items[i]; d.DeletionTimestamp == nil && d.Labels[v1alpha1.LabelRevision] == "" {
			out = append(out, d.Namespace)
		}
	}
	return out, nil
}

// removeLeftovers deletes what control planes made while they ran: what those of
// a namespace share once none is left in it, and the root certificate in
// every namespace once none is left at all.
func (r *Reconciler) removeLeftovers(ctx context.Context, revision *v1alpha1.MeshRevision, others []v1alpha1.MeshRevision, strangers []string) error {
	if !ranControlPlane(revision.Status.Inventory) {
		return nil
	}
	namespace := revision.Spec.Namespace
	shared := slices.Contains(strangers, namespace) ||
		slices.ContainsFunc(others, func(other v1alpha1.MeshRevision) bool { return other.Spec.Namespace == namespace })
	if !shared {
		for name, kind := range map[string]schema.GroupVersionKind{
			leaderLease:     {Group: "coordination.k8s.io", Version: "v1", Kind: "Lease"},
			report.Board:    corev1.SchemeGroupVersion.WithKind("ConfigMap"),
			authoritySecret: corev1.SchemeGroupVersion.WithKind("Secret"),
		} {
			if err := r.drop(ctx, kind, namespace, name); err != nil {
				return err
			}
		}
	}
	if len(others)+len(strangers) > 0 {
		return nil
	}
	roots := &metav1.PartialObjectMetadataList{}
	roots.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ConfigMapList"))
	if err := r.Reader.List(ctx, roots, client.MatchingFields{"metadata.name": trust.ConfigMap}); err != nil {
		return fmt.Errorf("list ConfigMaps %s: %w", trust.ConfigMap, err)
	}
	for i := range roots.Items {
		if err := r.drop(ctx, corev1.SchemeGroupVersion.WithKind("ConfigMap"), roots.Items[i].Namespace, trust.ConfigMap); err != nil {
			return err
		}
	}
	return nil
}

func ranControlPlane(inventory []v1alpha1.InventoryEntry) bool {
	return slices.ContainsFunc(inventory, func(entry v1alpha1.InventoryEntry) bool {
		return isWebhook(entry.Kind) || entry.Kind == "ClusterRole"
	})
}

// drop deletes one object by its name, if it is there.
func (r *Reconciler) drop(ctx context.Context, kind schema.GroupVersionKind, namespace, name string) error {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(kind)
	object.Namespace, object.Name = namespace, name
	if err := r.Client.Delete(ctx, object); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete %s %s/%s: %w", kind.Kind, namespace, name, err)
	}
	return nil
}

// absent says that the API server does not know a kind.
func absent(err error) bool { return meta.IsNoMatchError(err) || apierrors.IsNotFound(err) }

func pending(entries []v1alpha1.InventoryEntry) string {
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = apply.Describe(entry)
	}
	return "waiting for the end of " + summarize(names)
}
