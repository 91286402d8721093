// SPDX-License-Identifier: Apache-2.0

//go:build integration

package operator

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

// TestPhases follows an installation through its phases, then takes it away.
func TestPhases(t *testing.T) {
	podsStart.Store(false)
	controlPlaneWorks.Store(false)
	start(t)
	m := mesh(t, "phases", v1alpha1.MeshOperatorSpec{Profile: "demo", Namespace: "mesh-phases"})

	await(t, m, v1alpha1.ConditionReady, metav1.ConditionFalse, "ControlPlaneNotReady: Deployment mesh-phases/meshwright")
	await(t, m, v1alpha1.ConditionReconciling, metav1.ConditionTrue, "")
	await(t, m, v1alpha1.ConditionCRDsReady, metav1.ConditionTrue, "")
	if exists(t, &appsv1.Deployment{}, "mesh-phases", "istio-ingressgateway") {
		t.Error("the gateway is installed before the control plane is ready")
	}
	if exists(t, &admissionregistrationv1.MutatingWebhookConfiguration{}, "", "meshwright-injector") {
		t.Error("the webhook is installed before the control plane is ready")
	}
	podsStart.Store(true)
	await(t, m, v1alpha1.ConditionReady, metav1.ConditionFalse, "WebhooksNotReady: MutatingWebhookConfiguration meshwright-injector: webhook")
	controlPlaneWorks.Store(true)
	await(t, m, v1alpha1.ConditionReady, metav1.ConditionTrue, "v0.1.0: the control plane and 2 gateways are ready")
	if c := meta.FindStatusCondition(m.Status.Conditions, v1alpha1.ConditionReconciling); c != nil {
		t.Errorf("Reconciling is still there: %+v", c)
	}
	if m.Status.ObservedGeneration != m.Generation || m.Status.Revision != "default" || m.Status.Version != "v0.1.0" || m.Status.Profile != "demo" {
		t.Errorf("status is %+v", m.Status)
	}
	if len(m.Status.Gateways) != 2 || !m.Status.Gateways[0].Ready {
		t.Errorf("gateways are %+v", m.Status.Gateways)
	}

	if err := world.admin.Delete(context.Background(), m); err != nil {
		t.Fatal(err)
	}
	removed(t, m)
	if left := owned(t, "default"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	eventually(t, 10*time.Second, func() error {
		if exists(t, &corev1.Namespace{}, "", "mesh-phases") {
			return fmt.Errorf("the namespace is still there")
		}
		return nil
	})
	if n := rootsIn(t); n > 0 {
		t.Errorf("%d namespaces still have the root certificate", n)
	}
	if !exists(t, &apiextensionsv1.CustomResourceDefinition{}, "", "virtualservices.networking.istio.io") {
		t.Error("the CRDs are gone, and with them every user's objects")
	}
}

// TestDrift changes and deletes objects; each is put back, and nothing is
// written while nothing changes.
func TestDrift(t *testing.T) {
	podsStart.Store(true)
	controlPlaneWorks.Store(true)
	start(t)
	m := mesh(t, "drift", v1alpha1.MeshOperatorSpec{Profile: "default", Namespace: "mesh-drift"})
	await(t, m, v1alpha1.ConditionReady, metav1.ConditionTrue, "ready")
	ctx := context.Background()

	// Quiet: the same versions before and after, though somebody asks for attention.
	before := owned(t, "default")
	for n := range 3 {
		patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"example.org/touch":"%d"}}}`, n)
		if err := world.admin.Patch(ctx, m, client.RawPatch(types.MergePatchType, patch)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(300 * time.Millisecond)
	}
	if diff := cmp.Diff(before, owned(t, "default")); diff != "" {
		t.Errorf("objects were written though nothing changed:\n%s", diff)
	}

	told := watchReady(t, m)
	for _, victim := range []client.Object{
		&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "mesh-drift", Name: "istio-ingressgateway"}},
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "mesh-drift", Name: "meshwright"}},
		&admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "meshwright-injector"}},
	} {
		if err := world.admin.Delete(ctx, victim); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		eventually(t, 10*time.Second, func() error {
			return world.admin.Get(ctx, client.ObjectKeyFromObject(victim), victim.DeepCopyObject().(client.Object))
		})
		t.Logf("%T %s is back after %v", victim, victim.GetName(), time.Since(began).Round(time.Millisecond))
		told.next(t, metav1.ConditionFalse, "DriftDetected: put back: ", victim.GetName()+" was deleted")
		told.next(t, metav1.ConditionTrue, "ready")
	}

	deployment := &appsv1.Deployment{}
	key := client.ObjectKey{Namespace: "mesh-drift", Name: "meshwright"}
	edit(t, key, "kubectl-edit", `{"metadata":{"labels":{"example.org/mine":"yes","istio.io/rev":"wrong"}},"spec":{"template":{"spec":{"terminationGracePeriodSeconds":1}}}}`)
	eventually(t, 10*time.Second, func() error {
		if err := world.admin.Get(ctx, key, deployment); err != nil {
			return err
		}
		if deployment.Labels["istio.io/rev"] != "default" || *deployment.Spec.Template.Spec.TerminationGracePeriodSeconds != 30 {
			return fmt.Errorf("not put back: %v", deployment.Labels)
		}
		return nil
	})
	told.next(t, metav1.ConditionFalse, "DriftDetected: put back: Deployment mesh-drift/meshwright was changed: ", "(by kubectl-edit)")
	told.next(t, metav1.ConditionTrue, "ready")
	if deployment.Labels["example.org/mine"] != "yes" {
		t.Error("a label that is not ours was removed")
	}
	// The autoscaler's number stays the autoscaler's.
	edit(t, key, "kube-controller-manager", `{"spec":{"replicas":4}}`)
	await(t, m, v1alpha1.ConditionReady, metav1.ConditionTrue, "ready")
	time.Sleep(time.Second)
	if err := world.admin.Get(ctx, key, deployment); err != nil || *deployment.Spec.Replicas != 4 {
		t.Errorf("replicas are %v (%v), want the autoscaler's 4", *deployment.Spec.Replicas, err)
	}
	told.noDrift(t)
	// The label that makes an object ours, taken off: no field manager has it then.
	edit(t, key, "kubectl-label", `{"metadata":{"labels":{"`+v1alpha1.LabelRevision+`":null}}}`)
	eventually(t, 10*time.Second, func() error {
		if err := world.admin.Get(ctx, key, deployment); err != nil || deployment.Labels[v1alpha1.LabelRevision] == "default" {
			return err
		}
		return fmt.Errorf("the label is not back")
	})
	told.next(t, metav1.ConditionFalse, "DriftDetected: put back: Deployment mesh-drift/meshwright was changed: .metadata.labels."+v1alpha1.LabelRevision)
	told.next(t, metav1.ConditionTrue, "ready")
}

func edit(t *testing.T, key client.ObjectKey, manager, patch string) {
	t.Helper()
	object := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
	err := world.admin.Patch(context.Background(), object, client.RawPatch(types.StrategicMergePatchType, []byte(patch)), client.FieldOwner(manager))
	if err != nil {
		t.Fatal(err)
	}
}

// TestRemovedGateway: what the spec no longer asks for goes.
func TestRemovedGateway(t *testing.T) {
	podsStart.Store(true)
	controlPlaneWorks.Store(true)
	start(t)
	m := mesh(t, "removed", v1alpha1.MeshOperatorSpec{Profile: "demo", Namespace: "mesh-removed", Gateways: &v1alpha1.Gateways{
		Ingress: []v1alpha1.Gateway{{Name: "extra", Namespace: "mesh-extra"}},
	}})
	await(t, m, v1alpha1.ConditionReady, metav1.ConditionTrue, "3 gateways")
	if !exists(t, &appsv1.Deployment{}, "mesh-extra", "extra") {
		t.Fatal("the gateway is not there")
	}
	m.Spec.Gateways = nil
	if err := world.admin.Update(context.Background(), m); err != nil {
		t.Fatal(err)
	}
	await(t, m, v1alpha1.ConditionReady, metav1.ConditionTrue, "2 gateways")
	if left := slices.DeleteFunc(owned(t, "default"), func(name string) bool { return !strings.Contains(name, "mesh-extra/") }); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestKilled kills the operator at random moments of installs, changes and
// deletions; the next start always converges.
func TestKilled(t *testing.T) {
	podsStart.Store(true)
	controlPlaneWorks.Store(true)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	ctx := context.Background()
	for round := range 8 {
		name := fmt.Sprintf("killed-%d", round)
		m := &v1alpha1.MeshOperator{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.MeshOperatorSpec{Profile: "demo", Namespace: "mesh-" + name}}
		if err := world.admin.Create(ctx, m); err != nil {
			t.Fatal(err)
		}
		murder(t, random)
		survivor := start(t)
		await(t, m, v1alpha1.ConditionReady, metav1.ConditionTrue, "ready")
		survivor.kill()
		if err := world.admin.Delete(ctx, m); err != nil {
			t.Fatal(err)
		}
		murder(t, random)
		survivor = start(t)
		removed(t, m)
		survivor.kill()
		if left := owned(t, "default"); len(left) > 0 {
			t.Fatalf("left behind: %v", left)
		}
	}
}

// murder starts the operator and kills it a little later.
func murder(t *testing.T, random *rand.Rand) {
	t.Helper()
	p := start(t)
	time.Sleep(time.Duration(200+random.IntN(1800)) * time.Millisecond)
	p.kill()
}
