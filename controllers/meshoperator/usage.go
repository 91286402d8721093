// SPDX-License-Identifier: Apache-2.0

package meshoperator

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/placement"
	"github.com/meshwright/meshwright/internal/tag"
)

// byRevision is the index of pods by the revision that injected them.
const byRevision = "proxyRevision"

// Caches returns what the manager's cache holds of pods and namespaces: the
// metadata of those that have to do with a mesh, and of that what is looked at.
// Pods that have ended are not there.
func Caches() (map[client.Object]cache.ByObject, error) {
	ours, err := labels.NewRequirement(placement.LabelRevision, selection.Exists, nil)
	if err != nil {
		return nil, err
	}
	running, err := fields.ParseSelector("status.phase!=" + string(corev1.PodSucceeded) + ",status.phase!=" + string(corev1.PodFailed))
	if err != nil {
		return nil, err
	}
	selector := labels.NewSelector().Add(*ours)
	return map[client.Object]cache.ByObject{
		metadataOf("Pod"):       {Label: selector, Field: running, Transform: stripPod},
		metadataOf("Namespace"): {Label: selector, Transform: cache.TransformStripManagedFields()},
	}, nil
}

func metadataOf(kind string) *metav1.PartialObjectMetadata {
	out := &metav1.PartialObjectMetadata{}
	out.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(kind))
	return out
}

func listOf(kind string) *metav1.PartialObjectMetadataList {
	out := &metav1.PartialObjectMetadataList{}
	out.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(kind + "List"))
	return out
}

// stripPod keeps what tells a pod's workload and revision.
func stripPod(object any) (any, error) {
	pod, ok := object.(*metav1.PartialObjectMetadata)
	if !ok {
		return object, nil
	}
	pod.Annotations = only(pod.Annotations, placement.AnnotationState)
	pod.Labels = only(pod.Labels, placement.LabelRevision, placement.LabelTemplate)
	pod.ManagedFields = nil
	return pod, nil
}

func only(in map[string]string, keys ...string) map[string]string {
	out := make(map[string]string, len(keys))
	for _, key := range keys {
		if value, has := in[key]; has {
			out[key] = value
		}
	}
	return out
}

// index is the key of a pod in byRevision.
func index(pod client.Object) []string {
	revision := placement.RevisionOf(pod)
	if revision == "" || pod.GetDeletionTimestamp() != nil {
		return nil
	}
	return []string{revision}
}

// pods returns the injected pods of a revision that are neither ended nor ending.
func (r *Reconciler) pods(ctx context.Context, revision string) ([]metav1.PartialObjectMetadata, error) {
	list := listOf("Pod")
	if err := r.Client.List(ctx, list, client.MatchingFields{byRevision: revision}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list the pods of revision %s: %w", revision, err)
	}
	return list.Items, nil
}

// use is what is on the control planes of a mesh.
type use struct {
	// needs is how many pods, namespaces and tags need a revision.
	needs map[string]int
	// pods are the injected ones by revision.
	pods map[string][]metav1.PartialObjectMetadata
}

// usage looks at what is on revisions. Namespaces that name one itself, and not
// the mesh, need it.
func (r *Reconciler) usage(ctx context.Context, front string, revisions []string) (use, error) {
	out := use{needs: map[string]int{}, pods: map[string][]metav1.PartialObjectMetadata{}}
	namespaces := listOf("Namespace")
	if err := r.Client.List(ctx, namespaces); err != nil {
		return use{}, fmt.Errorf("list the namespaces of revisions: %w", err)
	}
	for i := range namespaces.Items {
		if name := namespaces.Items[i].Labels[placement.LabelRevision]; name != front {
			out.needs[name]++
		}
	}
	var tags v1alpha1.MeshRevisionTagList
	if err := r.Client.List(ctx, &tags); err != nil {
		return use{}, fmt.Errorf("list MeshRevisionTags: %w", err)
	}
	for _, revision := range revisions {
		pods, err := r.pods(ctx, revision)
		if err != nil {
			return use{}, err
		}
		out.pods[revision] = pods
		out.needs[revision] += len(pods) + len(tag.Users(front, revision, tags.Items))
	}
	return out, nil
}

// workloads is how many workloads have pods of a revision.
func (u use) workloads(revision string) int {
	seen := map[placement.Workload]struct{}{}
	for i := range u.pods[revision] {
		seen[placement.Of(&u.pods[revision][i])] = struct{}{}
	}
	return len(seen)
}
