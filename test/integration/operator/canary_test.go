// SPDX-License-Identifier: Apache-2.0

//go:build integration

package operator

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

// canaryMesh is a mesh with two control planes: its upgrade is held before the first step.
func canaryMesh(t *testing.T, name string) (m *v1alpha1.MeshOperator, to string) {
	t.Helper()
	m = mesh(t, name, v1alpha1.MeshOperatorSpec{
		Profile: "minimal", Revision: name, Namespace: "mesh-" + name, Image: &v1alpha1.Image{Tag: "one"},
		UpgradeStrategy: &v1alpha1.UpgradeStrategy{Type: v1alpha1.Canary, Canary: &v1alpha1.CanaryStrategy{GracePeriodSeconds: new(int32(1))}},
	})
	await(t, m, v1alpha1.ConditionReady, metav1.ConditionTrue, "ready")
	change(t, m, func() { m.Spec.Image.Tag, m.Spec.UpgradeStrategy.Paused = "two", true })
	await(t, m, v1alpha1.ConditionReady, metav1.ConditionFalse, "UpgradePaused")
	to = m.Status.Upgrade.To
	eventually(t, 30*time.Second, func() error {
		if exists(t, &appsv1.Deployment{}, "mesh-"+name, "meshwright-"+to) {
			return nil
		}
		return fmt.Errorf("the second control plane is not there")
	})
	await(t, m, v1alpha1.ConditionReady, metav1.ConditionFalse, "UpgradePaused: upgrade from "+name+" to "+to+": paused")
	return m, to
}

// change updates an object, whatever was written to it meanwhile.
func change(t *testing.T, object client.Object, edit func()) {
	t.Helper()
	eventually(t, 10*time.Second, func() error {
		if err := world.admin.Get(context.Background(), client.ObjectKeyFromObject(object), object); err != nil {
			return err
		}
		edit()
		return world.admin.Update(context.Background(), object)
	})
}

// TestDeletedRevisionsComeBack: in the middle of an upgrade, somebody deletes the MeshRevisions. They are made again as
// they were, each without the others, and the upgrade goes on.
func TestDeletedRevisionsComeBack(t *testing.T) {
	ctx := context.Background()
	podsStart.Store(true)
	controlPlaneWorks.Store(true)
	start(t)
	m, to := canaryMesh(t, "hurt")
	uid := func(name string) types.UID {
		revision := &v1alpha1.MeshRevision{}
		if err := world.admin.Get(ctx, types.NamespacedName{Name: name}, revision); client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		}
		return revision.UID
	}
	tags := map[string]string{"hurt": ":one", to: ":two"}
	for victim, other := range map[string]string{"hurt": to, to: "hurt"} {
		was, stays := uid(victim), uid(other)
		if err := world.admin.Delete(ctx, &v1alpha1.MeshRevision{ObjectMeta: metav1.ObjectMeta{Name: victim}}); err != nil {
			t.Fatal(err)
		}
		eventually(t, 30*time.Second, func() error {
			if now := uid(victim); now == "" || now == was {
				return fmt.Errorf("MeshRevision %s is not back", victim)
			}
			var d appsv1.Deployment
			if err := world.admin.Get(ctx, types.NamespacedName{Namespace: "mesh-hurt", Name: "meshwright-" + victim}, &d); err != nil {
				return err
			}
			if image := d.Spec.Template.Spec.Containers[0].Image; d.DeletionTimestamp != nil || !strings.HasSuffix(image, tags[victim]) {
				return fmt.Errorf("the control plane of %s is %s", victim, image)
			}
			return nil
		})
		if now := uid(other); now != stays {
			t.Errorf("MeshRevision %s was deleted with %s: its UID was %s, is %s", other, victim, stays, now)
		}
	}
	change(t, m, func() {
		m.Spec.UpgradeStrategy = &v1alpha1.UpgradeStrategy{Type: v1alpha1.Canary, Canary: &v1alpha1.CanaryStrategy{
			GracePeriodSeconds: new(int32(1)), Steps: []v1alpha1.CanaryStep{{Percent: new(int32(100)), SoakSeconds: new(int32(0))}},
		}}
	})
	eventually(t, time.Minute, func() error {
		if err := world.admin.Get(ctx, client.ObjectKeyFromObject(m), m); err != nil {
			return err
		}
		if m.Status.Upgrade != nil || len(m.Status.Revisions) != 1 || m.Status.Revisions[0].Name != to {
			return fmt.Errorf("upgrade is %+v, revisions are %+v", m.Status.Upgrade, m.Status.Revisions)
		}
		return nil
	})
}

// order notes when objects came to their end, in versions of the cluster.
type order struct {
	mu sync.Mutex
	// gone is when an object was deleted, asked when somebody first asked for it.
	gone, asked map[string]int
}

// watchOrder watches a kind from now on.
func (o *order) watch(t *testing.T, resource schema.GroupVersionResource, namespace string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	all, err := dynamic.NewForConfig(world.server.Config)
	if err != nil {
		t.Fatal(err)
	}
	watched, err := all.Resource(resource).Namespace(namespace).Watch(ctx, metav1.ListOptions{LabelSelector: v1alpha1.LabelRevision})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer watched.Stop()
		for event := range watched.ResultChan() {
			object, ok := event.Object.(*unstructured.Unstructured)
			if !ok {
				continue
			}
			version, err := strconv.Atoi(object.GetResourceVersion())
			if err != nil {
				t.Errorf("version of %s: %v", object.GetName(), err)
			}
			o.mu.Lock()
			if event.Type == watch.Deleted {
				o.gone[object.GetName()] = version
			}
			if _, known := o.asked[object.GetName()]; !known && (object.GetDeletionTimestamp() != nil || event.Type == watch.Deleted) {
				o.asked[object.GetName()] = version
			}
			o.mu.Unlock()
		}
	}()
}

// TestRemovalInOrder: of a mesh that is deleted in the middle of an upgrade, no control plane goes before the webhooks
// of all have gone, those of tags among them; and nothing of it is left.
func TestRemovalInOrder(t *testing.T) {
	ctx := context.Background()
	podsStart.Store(true)
	controlPlaneWorks.Store(true)
	start(t)
	m, to := canaryMesh(t, "twice")
	tag := makeTag(t, "named-twice", "twice")
	awaitTag(t, tag, v1alpha1.ConditionReady, metav1.ConditionTrue, "revision twice answers")

	seen := &order{gone: map[string]int{}, asked: map[string]int{}}
	hooks := schema.GroupVersion{Group: "admissionregistration.k8s.io", Version: "v1"}
	seen.watch(t, hooks.WithResource("mutatingwebhookconfigurations"), "")
	seen.watch(t, hooks.WithResource("validatingwebhookconfigurations"), "")
	seen.watch(t, appsv1.SchemeGroupVersion.WithResource("deployments"), "mesh-twice")
	if err := world.admin.Delete(ctx, m); err != nil {
		t.Fatal(err)
	}
	removed(t, m)
	webhooks := []string{"meshwright-injector-twice", "meshwright-validator-twice", "meshwright-injector-named-twice", "meshwright-validator-named-twice"}
	eventually(t, 10*time.Second, func() error {
		seen.mu.Lock()
		defer seen.mu.Unlock()
		for _, name := range append([]string{"meshwright-twice", "meshwright-" + to}, webhooks...) {
			if seen.gone[name] == 0 {
				return fmt.Errorf("%s is not gone; gone are %v", name, seen.gone)
			}
		}
		return nil
	})
	for _, controlPlane := range []string{"meshwright-twice", "meshwright-" + to} {
		for _, hook := range webhooks {
			if seen.asked[controlPlane] < seen.gone[hook] {
				t.Errorf("the control plane %s was deleted before the webhooks %s had gone", controlPlane, hook)
			}
		}
	}
	awaitTag(t, tag, v1alpha1.ConditionReady, metav1.ConditionFalse, "there is no MeshRevision twice")
	for _, revision := range []string{"twice", to, "tag.named-twice"} {
		if left := owned(t, revision); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
	if n := rootsIn(t); n > 0 {
		t.Errorf("%d namespaces still have the root certificate", n)
	}

	// A mesh of the same name has the tag again.
	again := mesh(t, "twice-again", v1alpha1.MeshOperatorSpec{Profile: "minimal", Revision: "twice", Namespace: "mesh-twice"})
	await(t, again, v1alpha1.ConditionReady, metav1.ConditionTrue, "")
	eventually(t, 30*time.Second, func() error {
		return world.admin.Get(ctx, client.ObjectKeyFromObject(tag), tag)
	})
	awaitTag(t, tag, v1alpha1.ConditionReady, metav1.ConditionTrue, "revision twice answers")
}

// TestNeededControlPlaneStays: what a tag names itself stays as long as the tag, what injected a pod until the pod ends.
func TestNeededControlPlaneStays(t *testing.T) {
	ctx := context.Background()
	podsStart.Store(true)
	controlPlaneWorks.Store(true)
	start(t)
	m, to := canaryMesh(t, "kept")
	tag := makeTag(t, "early-bird", to)
	awaitTag(t, tag, v1alpha1.ConditionReady, metav1.ConditionTrue, "revision "+to+" answers")
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: "job", Labels: map[string]string{"istio.io/rev": to}, Annotations: map[string]string{"sidecar.istio.io/status": `{"revision":"` + to + `"}`},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}},
	}
	if err := world.admin.Create(ctx, pod); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = world.admin.Delete(context.Background(), pod, client.GracePeriodSeconds(0)) })
	change(t, m, func() { m.Spec.Image.Tag = "one" }) // never mind
	await(t, m, v1alpha1.ConditionReady, metav1.ConditionTrue, "the control plane "+to+" stays until nobody needs it")
	eventually(t, 30*time.Second, func() error {
		if err := world.admin.Get(ctx, client.ObjectKeyFromObject(m), m); err != nil {
			return err
		}
		if len(m.Status.Revisions) == 2 && m.Status.Revisions[1].Pods == 1 && m.Status.Revisions[1].UnusedTime == nil {
			return nil
		}
		return fmt.Errorf("revisions are %+v", m.Status.Revisions)
	})
	pod.Status.Phase = corev1.PodSucceeded
	if err := world.admin.Status().Update(ctx, pod); err != nil {
		t.Fatal(err)
	}
	change(t, tag, func() { tag.Spec.Revision = "kept" })
	eventually(t, 30*time.Second, func() error {
		if exists(t, &v1alpha1.MeshRevision{}, "", to) {
			return fmt.Errorf("MeshRevision %s is still there", to)
		}
		return nil
	})
	awaitTag(t, tag, v1alpha1.ConditionReady, metav1.ConditionTrue, "revision kept answers")
}
