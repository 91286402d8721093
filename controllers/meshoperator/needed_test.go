// SPDX-License-Identifier: Apache-2.0

package meshoperator

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/placement"
	"github.com/meshwright/meshwright/internal/revision"
	"github.com/meshwright/meshwright/internal/rollout"
	"github.com/meshwright/meshwright/internal/upgrade"
)

var now = time.Unix(1e9, 0)

// idle is a mesh that leads to its control plane default, and for which nobody has needed default-2 for an hour.
func idle(t *testing.T) []client.Object {
	t.Helper()
	ready := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, ObservedGeneration: 1}
	mesh := &v1alpha1.MeshOperator{
		ObjectMeta: metav1.ObjectMeta{Name: "mesh", UID: "mesh", Generation: 1},
		Spec:       v1alpha1.MeshOperatorSpec{Profile: "minimal", Image: &v1alpha1.Image{Registry: "example.org", Tag: "one"}},
	}
	resolved, one, err := (&Reconciler{}).resolve(mesh)
	if err != nil {
		t.Fatal(err)
	}
	layout, two := upgrade.Fresh("default", one), one
	two.Tag = "two"
	layout.Identities["default-2"] = two
	mesh.Status.Revisions = []v1alpha1.RevisionStatus{
		{Name: "default", Identity: one, Serving: true},
		{Name: "default-2", Identity: two, UnusedTime: &metav1.Time{Time: now.Add(-time.Hour)}},
	}
	plans, err := revision.PlanLayout(resolved, layout, nil)
	if err != nil {
		t.Fatal(err)
	}
	out := []client.Object{mesh}
	for name, plan := range plans {
		child := &v1alpha1.MeshRevision{ObjectMeta: metav1.ObjectMeta{Name: name, UID: "revision", Generation: 1}, Spec: plan}
		child.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(mesh, v1alpha1.GroupVersion.WithKind("MeshOperator"))}
		child.Status.ObservedGeneration = 1
		meta.SetStatusCondition(&child.Status.Conditions, ready)
		out = append(out, child)
	}
	return out
}

// TestControlPlaneGoesWhenNobodyNeedsIt: what is not known keeps a control plane, as does everything that needs it.
func TestControlPlaneGoesWhenNobodyNeedsIt(t *testing.T) {
	labels := map[string]string{placement.LabelRevision: "default-2"}
	tag := func(spec, status string) *v1alpha1.MeshRevisionTag {
		return &v1alpha1.MeshRevisionTag{ObjectMeta: metav1.ObjectMeta{Name: "prod"}, Spec: v1alpha1.MeshRevisionTagSpec{Revision: spec}, Status: v1alpha1.MeshRevisionTagStatus{Revision: status}}
	}
	pod := func(of string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			Namespace: "app", Name: "web", Labels: labels, Annotations: map[string]string{placement.AnnotationState: `{"revision":"` + of + `"}`},
		}}
	}
	away := errors.New("no API server")
	for name, c := range map[string]struct {
		there client.Object
		fails string // a list
		err   error
		stays bool
	}{
		"nobody needs it":               {},
		"a pod":                         {there: pod("default-2"), stays: true},
		"a pod of another":              {there: pod("default")},
		"a pod that nobody injected":    {there: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "app", Name: "web", Labels: labels}}},
		"a namespace":                   {there: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "app", Labels: labels}}, stays: true},
		"a tag that names it":           {there: tag("default-2", ""), stays: true},
		"a tag that it answers":         {there: tag("default", "default-2"), stays: true},
		"a tag that another answers":    {there: tag("default", "default")},
		"pods are not known":            {fails: "PodList", err: away, stays: true},
		"pods are forbidden":            {fails: "PodList", err: apierrors.NewForbidden(corev1.Resource("pods"), "", away), stays: true},
		"namespaces are not known":      {fails: "NamespaceList", err: away, stays: true},
		"there are no tags to be known": {fails: "*v1alpha1.MeshRevisionTagList", err: apierrors.NewNotFound(v1alpha1.GroupVersion.WithResource("meshrevisiontags").GroupResource(), ""), stays: true},
		"revisions are not known":       {fails: "*v1alpha1.MeshRevisionList", err: away, stays: true},
	} {
		t.Run(name, func(t *testing.T) {
			scheme := runtime.NewScheme()
			for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
				if err := add(scheme); err != nil {
					t.Fatal(err)
				}
			}
			objects := idle(t)
			if c.there != nil {
				objects = append(objects, c.there)
			}
			failed := false
			cluster := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(&v1alpha1.MeshOperator{}, &v1alpha1.MeshRevision{}).
				WithIndex(metadataOf("Pod"), byRevision, index).
				WithInterceptorFuncs(interceptor.Funcs{List: func(ctx context.Context, under client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
					kind := fmt.Sprintf("%T", list)
					if partial, ok := list.(*metav1.PartialObjectMetadataList); ok {
						kind = partial.Kind
					}
					if c.fails == kind {
						failed = true
						return c.err
					}
					return under.List(ctx, list, options...)
				}}).Build()
			r := &Reconciler{
				Client: cluster, Reader: cluster, Events: events.NewFakeRecorder(100), Rollouts: &rollout.Watch{}, Clock: clocktesting.NewFakePassiveClock(now),
			}
			_, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKey{Name: "mesh"}})
			if failed != (c.fails != "") {
				t.Fatalf("%s was not listed (%v)", c.fails, err)
			}
			for revision, stays := range map[string]bool{"default": true, "default-2": c.stays} {
				got := cluster.Get(t.Context(), client.ObjectKey{Name: revision}, &v1alpha1.MeshRevision{})
				if client.IgnoreNotFound(got) != nil || (got == nil) != stays {
					t.Errorf("MeshRevision %s: %v after %v; want it to stay: %v", revision, got, err, stays)
				}
			}
		})
	}
}

// TestEndedPodsAreNotWatched: they need no control plane.
func TestEndedPodsAreNotWatched(t *testing.T) {
	caches, err := Caches()
	if err != nil {
		t.Fatal(err)
	}
	for object, by := range caches {
		if object.GetObjectKind().GroupVersionKind().Kind != "Pod" {
			continue
		}
		for phase, want := range map[corev1.PodPhase]bool{corev1.PodRunning: true, corev1.PodPending: true, corev1.PodUnknown: true, corev1.PodSucceeded: false, corev1.PodFailed: false} {
			if got := by.Field.Matches(phased(phase)); got != want {
				t.Errorf("pods in phase %s are watched: %v", phase, got)
			}
		}
		return
	}
	t.Error("pods are not watched")
}

// phased is a pod by its only field.
type phased corev1.PodPhase

func (p phased) Has(field string) bool { return field == "status.phase" }

func (p phased) Get(field string) string {
	if field != "status.phase" {
		return ""
	}
	return string(p)
}
