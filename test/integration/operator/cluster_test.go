// SPDX-License-Identifier: Apache-2.0

//go:build integration

package operator

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/controllers/meshrevision"
)

// What the cluster does by itself; a test switches it off to see the operator
// wait.
var (
	// podsStart makes Deployments available.
	podsStart atomic.Bool
	// controlPlaneWorks writes CA bundles and root certificates.
	controlPlaneWorks atomic.Bool
)

// cluster stands in for what a bare API server lacks: the controllers that
// make Deployments available, end deletions, and the control plane.
func cluster(stop <-chan struct{}) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for {
		select {
		case <-stop:
			return
		case <-time.After(50 * time.Millisecond):
		}
		startPods(ctx)
		collectGarbage(ctx)
		if controlPlaneWorks.Load() {
			writeBundles(ctx)
			writeRoots(ctx)
		}
	}
}

func startPods(ctx context.Context) {
	var list appsv1.DeploymentList
	if world.admin.List(ctx, &list) != nil || !podsStart.Load() {
		return
	}
	for i := range list.Items {
		d := &list.Items[i]
		want := int32(1)
		if d.Spec.Replicas != nil {
			want = *d.Spec.Replicas
		}
		if d.Status.ObservedGeneration == d.Generation && d.Status.AvailableReplicas == want {
			continue
		}
		d.Status = appsv1.DeploymentStatus{
			ObservedGeneration: d.Generation, Replicas: want, UpdatedReplicas: want, ReadyReplicas: want, AvailableReplicas: want,
		}
		_ = world.admin.Status().Update(ctx, d)
	}
	var daemons appsv1.DaemonSetList
	if world.admin.List(ctx, &daemons) != nil {
		return
	}
	for i := range daemons.Items {
		if d := &daemons.Items[i]; d.Status.ObservedGeneration != d.Generation {
			d.Status.ObservedGeneration = d.Generation // There are no nodes.
			_ = world.admin.Status().Update(ctx, d)
		}
	}
}

// collectGarbage ends foreground deletions and the deletion of namespaces.
func collectGarbage(ctx context.Context) {
	for _, kind := range meshrevision.Owned {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		finish(ctx, list)
	}
	collectDependents(ctx)
	var namespaces corev1.NamespaceList
	if world.admin.List(ctx, &namespaces) != nil {
		return
	}
	for i := range namespaces.Items {
		namespace := &namespaces.Items[i]
		if namespace.DeletionTimestamp == nil {
			continue
		}
		_ = world.admin.DeleteAllOf(ctx, &corev1.ConfigMap{}, client.InNamespace(namespace.Name))
		_ = world.admin.DeleteAllOf(ctx, &corev1.Secret{}, client.InNamespace(namespace.Name))
		_ = world.admin.DeleteAllOf(ctx, &appsv1.Deployment{}, client.InNamespace(namespace.Name))
		if !empty(ctx, namespace.Name) {
			continue // What is in a namespace that is gone nobody can change any more.
		}
		namespace.Spec.Finalizers = nil
		_ = world.admin.SubResource("finalize").Update(ctx, namespace)
	}
}

// empty deletes what the operator installed in a namespace, and tells whether all of it is gone.
func empty(ctx context.Context, namespace string) bool {
	gone := true
	for _, kind := range meshrevision.Owned {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		if world.admin.List(ctx, list, client.HasLabels{v1alpha1.LabelRevision}) != nil {
			return false
		}
		for i := range list.Items {
			if object := &list.Items[i]; object.Namespace == namespace {
				gone = false
				_ = world.admin.Delete(ctx, object)
			}
		}
	}
	return gone
}

// collectDependents deletes what belongs to MeshRevisions that are gone.
func collectDependents(ctx context.Context) {
	var revisions v1alpha1.MeshRevisionList
	if world.admin.List(ctx, &revisions) != nil {
		return
	}
	for _, kind := range meshrevision.Owned {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		if world.admin.List(ctx, list, client.HasLabels{v1alpha1.LabelRevision}) != nil {
			return
		}
		for i := range list.Items {
			object := &list.Items[i]
			there := !slices.ContainsFunc(object.OwnerReferences, func(o metav1.OwnerReference) bool { return o.Kind == "MeshRevision" }) ||
				slices.ContainsFunc(revisions.Items, func(r v1alpha1.MeshRevision) bool {
					return slices.ContainsFunc(object.OwnerReferences, func(o metav1.OwnerReference) bool { return o.UID == r.UID })
				})
			if !there && object.DeletionTimestamp == nil {
				_ = world.admin.Delete(ctx, object, client.Preconditions{UID: &object.UID, ResourceVersion: &object.ResourceVersion})
			}
		}
	}
}

func finish(ctx context.Context, list *metav1.PartialObjectMetadataList) {
	if world.admin.List(ctx, list, client.HasLabels{v1alpha1.LabelRevision}) != nil {
		return
	}
	for i := range list.Items {
		object := &list.Items[i]
		if object.DeletionTimestamp == nil || !slices.Contains(object.Finalizers, metav1.FinalizerDeleteDependents) {
			continue
		}
		before := object.DeepCopy()
		object.Finalizers = slices.DeleteFunc(object.Finalizers, func(f string) bool { return f == metav1.FinalizerDeleteDependents })
		_ = world.admin.Patch(ctx, object, client.MergeFrom(before))
	}
}

func writeBundles(ctx context.Context) {
	var mutating admissionregistrationv1.MutatingWebhookConfigurationList
	if world.admin.List(ctx, &mutating, client.HasLabels{v1alpha1.LabelRevision}) == nil {
		for i := range mutating.Items {
			config := &mutating.Items[i]
			changed := false
			for n := range config.Webhooks {
				changed = fill(&config.Webhooks[n].ClientConfig) || changed
			}
			if changed {
				_ = world.admin.Update(ctx, config, client.FieldOwner("meshwright-controlplane"))
			}
		}
	}
	var validating admissionregistrationv1.ValidatingWebhookConfigurationList
	if world.admin.List(ctx, &validating, client.HasLabels{v1alpha1.LabelRevision}) == nil {
		for i := range validating.Items {
			config := &validating.Items[i]
			changed := false
			for n := range config.Webhooks {
				changed = fill(&config.Webhooks[n].ClientConfig) || changed
			}
			if changed {
				_ = world.admin.Update(ctx, config, client.FieldOwner("meshwright-controlplane"))
			}
		}
	}
}

func fill(config *admissionregistrationv1.WebhookClientConfig) bool {
	if len(config.CABundle) > 0 {
		return false
	}
	config.CABundle = bundle
	return true
}

// writeRoots writes the root certificate where a control plane would.
func writeRoots(ctx context.Context) {
	var controlPlanes appsv1.DeploymentList
	if world.admin.List(ctx, &controlPlanes, client.MatchingLabels{"app.kubernetes.io/component": "controlplane"}) != nil ||
		!slices.ContainsFunc(controlPlanes.Items, func(d appsv1.Deployment) bool { return d.DeletionTimestamp == nil }) {
		return
	}
	var namespaces corev1.NamespaceList
	if world.admin.List(ctx, &namespaces) != nil {
		return
	}
	for i := range namespaces.Items {
		if namespaces.Items[i].DeletionTimestamp != nil {
			continue
		}
		_ = world.admin.Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: "meshwright-ca-root-cert", Namespace: namespaces.Items[i].Name},
			Data:       map[string]string{"root-cert.pem": string(bundle)},
		})
	}
	_ = world.admin.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "meshwright-ca", Namespace: controlPlanes.Items[0].Namespace},
	})
}
