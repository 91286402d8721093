// SPDX-License-Identifier: Apache-2.0

//go:build integration

package operator

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	installv1alpha1 "github.com/meshwright/meshwright/api/install/v1alpha1"
	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

// asWritten is an IstioOperator as users have them: the profile demo, an
// ingress gateway with a load balancer, and an egress gateway of another name,
// of which nothing says that it is enabled.
const asWritten = `
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {namespace: %s, name: example-istiooperator}
spec:
  profile: demo
  components:
    ingressGateways:
    - name: istio-ingressgateway
      enabled: true
      k8s:
        service:
          type: LoadBalancer
    egressGateways:
    - name: istio-egressgate
`

// istioOperator applies a manifest that is deleted with the test, and what it
// made with it.
func istioOperator(t *testing.T, manifest string) *unstructured.Unstructured {
	t.Helper()
	ctx := context.Background()
	out := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(manifest), &out.Object); err != nil {
		t.Fatal(err)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: out.GetNamespace()}}
	if err := world.admin.Create(ctx, namespace); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	if err := world.admin.Create(ctx, out); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if world.admin.Delete(ctx, out) != nil {
			return
		}
		controlPlaneWorks.Store(true)
		start(t)
		awaitGone(t, out)
	})
	return out
}

func awaitGone(t *testing.T, object client.Object) {
	t.Helper()
	eventually(t, time.Minute, func() error {
		err := world.admin.Get(context.Background(), client.ObjectKeyFromObject(object), object)
		if err == nil {
			return fmt.Errorf("%s is still there: %v", object.GetName(), object)
		}
		return client.IgnoreNotFound(err)
	})
}

// awaitIstio waits for a condition of an IstioOperator, for its latest
// generation, and returns the status.
func awaitIstio(t *testing.T, object *unstructured.Unstructured, conditionType, text string) installv1alpha1.IstioOperatorStatus {
	t.Helper()
	var status installv1alpha1.IstioOperatorStatus
	eventually(t, 30*time.Second, func() error {
		if err := world.admin.Get(context.Background(), client.ObjectKeyFromObject(object), object); err != nil {
			return err
		}
		data, err := json.Marshal(object.Object["status"])
		if err != nil {
			return err
		}
		status = installv1alpha1.IstioOperatorStatus{}
		if err := json.Unmarshal(data, &status); err != nil {
			return err
		}
		c := meta.FindStatusCondition(status.Conditions, conditionType)
		if c == nil || c.Status != metav1.ConditionTrue || c.ObservedGeneration != object.GetGeneration() || !strings.Contains(c.Reason+": "+c.Message, text) {
			return fmt.Errorf("want %s with %q, have %s", conditionType, text, data)
		}
		return nil
	})
	return status
}

func patch(t *testing.T, object client.Object, text string) {
	t.Helper()
	if err := world.admin.Patch(context.Background(), object, client.RawPatch(types.MergePatchType, []byte(text))); err != nil {
		t.Fatal(err)
	}
}

// TestIstioOperator installs a manifest as it is, edits it, and takes it away.
func TestIstioOperator(t *testing.T) {
	podsStart.Store(true)
	controlPlaneWorks.Store(true)
	start(t)
	ctx := context.Background()
	iop := istioOperator(t, fmt.Sprintf(asWritten, "mesh-iop"))
	before := iop.DeepCopy().Object["spec"]

	status := awaitIstio(t, iop, v1alpha1.ConditionReady, "v0.1.0: the control plane and 2 gateways are ready")
	if status.Status != installv1alpha1.Healthy || status.MeshOperator != "mesh-iop.example-istiooperator" || len(status.Unmapped) != 0 {
		t.Errorf("status is %+v", status)
	}
	m := &v1alpha1.MeshOperator{ObjectMeta: metav1.ObjectMeta{Name: status.MeshOperator}}
	await(t, m, v1alpha1.ConditionReady, metav1.ConditionTrue, "ready")
	if m.Status.Profile != "demo" || m.Spec.Namespace != "mesh-iop" {
		t.Errorf("the mesh is %+v", m)
	}
	service := &corev1.Service{}
	if !exists(t, service, "mesh-iop", "istio-ingressgateway") || service.Spec.Type != corev1.ServiceTypeLoadBalancer {
		t.Errorf("the ingress gateway's Service is %+v", service.Spec)
	}
	if !exists(t, &appsv1.Deployment{}, "mesh-iop", "istio-egressgate") || exists(t, &appsv1.Deployment{}, "mesh-iop", "istio-egressgateway") {
		t.Error("the list of egress gateways does not replace that of the profile")
	}

	// An edit reaches the mesh; what has no counterpart is listed and told once.
	patch(t, iop, `{"spec":{"components":{"ingressGateways":[{"name":"istio-ingressgateway","k8s":{"service":{"type":"ClusterIP"}}}],"cni":{"enabled":true}},"notAField":{"x":[{"y":1}]}}}`)
	status = awaitIstio(t, iop, v1alpha1.ConditionReady, "1 fields have no effect, see status.unmapped")
	var paths []string
	for _, u := range status.Unmapped {
		paths = append(paths, u.Path)
	}
	if diff := cmp.Diff([]string{"spec.notAField.x[0].y"}, paths); diff != "" {
		t.Errorf("unmapped (-want +got):\n%s", diff)
	}
	if !exists(t, service, "mesh-iop", "istio-ingressgateway") || service.Spec.Type != corev1.ServiceTypeClusterIP {
		t.Errorf("the ingress gateway's Service is %+v", service.Spec)
	}
	if want, got := 1, unmappedEvents(t, iop); want != got {
		t.Errorf("%d events, want %d", got, want)
	}

	// Somebody changes what the IstioOperator says.
	patch(t, m, `{"spec":{"profile":"minimal"}}`)
	eventually(t, 10*time.Second, func() error {
		if err := world.admin.Get(ctx, client.ObjectKeyFromObject(m), m); err != nil || m.Spec.Profile != "demo" {
			return fmt.Errorf("the profile is %s: %v", m.Spec.Profile, err)
		}
		return nil
	})

	// Paused, nothing happens; then all of it.
	for _, annotation := range []string{v1alpha1.AnnotationPaused, "install.istio.io/ignoreReconcile"} {
		generation := awaitIstio(t, iop, v1alpha1.ConditionReady, "").ObservedGeneration
		patch(t, iop, fmt.Sprintf(`{"metadata":{"annotations":{%q:"true"}}}`, annotation))
		patch(t, iop, fmt.Sprintf(`{"spec":{"revision":"","hub":"registry.example/%d"}}`, generation))
		time.Sleep(500 * time.Millisecond)
		if err := world.admin.Get(ctx, client.ObjectKeyFromObject(iop), iop); err != nil {
			t.Fatal(err)
		}
		if observed, _, _ := unstructured.NestedInt64(iop.Object, "status", "observedGeneration"); observed != generation {
			t.Errorf("%s: the operator acted on a paused object", annotation)
		}
		patch(t, iop, fmt.Sprintf(`{"metadata":{"annotations":{%q:null}}}`, annotation))
		awaitIstio(t, iop, v1alpha1.ConditionReady, "ready")
	}
	patch(t, iop, `{"spec":{"components":{"ingressGateways":[{"name":"istio-ingressgateway","enabled":true,"k8s":{"service":{"type":"LoadBalancer"}}}],"cni":null},"notAField":null,"hub":null,"revision":null}}`)
	awaitIstio(t, iop, v1alpha1.ConditionReady, "ready")
	if diff := cmp.Diff(before, iop.Object["spec"]); diff != "" {
		t.Errorf("the operator wrote into the user's spec:\n%s", diff)
	}

	// What cannot change in place is refused in the API server's words.
	patch(t, iop, `{"spec":{"revision":"other"}}`)
	if status = awaitIstio(t, iop, v1alpha1.ConditionStalled, "revision is immutable"); status.Status != installv1alpha1.Failed {
		t.Errorf("status is %s", status.Status)
	}
	patch(t, iop, `{"spec":{"revision":null}}`)
	awaitIstio(t, iop, v1alpha1.ConditionReady, "ready")

	if err := world.admin.Delete(ctx, iop); err != nil {
		t.Fatal(err)
	}
	awaitGone(t, iop)
	removed(t, m)
	if len(owned(t, "default")) > 0 {
		t.Errorf("left behind: %v", owned(t, "default"))
	}
}

// unmappedEvents counts what was told of an object.
func unmappedEvents(t *testing.T, object client.Object) int {
	t.Helper()
	count := 0
	eventually(t, 10*time.Second, func() error {
		var list eventsv1.EventList
		if err := world.admin.List(context.Background(), &list, client.InNamespace(object.GetNamespace())); err != nil {
			return err
		}
		count = 0
		for _, e := range list.Items {
			if e.Reason == "Unmapped" && e.Regarding.UID == object.GetUID() {
				count++
			}
		}
		if count == 0 {
			return fmt.Errorf("no event")
		}
		return nil
	})
	return count
}

// TestIstioOperatorConflicts: a revision has one owner, and everybody else is
// told who that is, and gets it when it is free.
func TestIstioOperatorConflicts(t *testing.T) {
	podsStart.Store(true)
	controlPlaneWorks.Store(true)
	start(t)
	ctx := context.Background()
	const manifest = `{apiVersion: install.istio.io/v1alpha1, kind: IstioOperator, metadata: {namespace: mesh-iop, name: %s}, spec: {profile: minimal}}`

	theirs := mesh(t, "somebody", v1alpha1.MeshOperatorSpec{Profile: "empty"})
	await(t, theirs, v1alpha1.ConditionReady, metav1.ConditionTrue, "")
	first := istioOperator(t, fmt.Sprintf(manifest, "first"))
	awaitIstio(t, first, v1alpha1.ConditionStalled, "RevisionConflict: MeshOperator somebody has the revision default")
	second := istioOperator(t, fmt.Sprintf(manifest, "second"))
	awaitIstio(t, second, v1alpha1.ConditionStalled, "RevisionConflict: MeshOperator somebody has the revision default")

	if err := world.admin.Delete(ctx, theirs); err != nil {
		t.Fatal(err)
	}
	awaitIstio(t, first, v1alpha1.ConditionReady, "ready")
	awaitIstio(t, second, v1alpha1.ConditionStalled, "RevisionConflict: IstioOperator mesh-iop/first")
	if exists(t, &v1alpha1.MeshOperator{}, "", "mesh-iop.second") {
		t.Error("the second has a MeshOperator, too")
	}
	if err := world.admin.Delete(ctx, first); err != nil {
		t.Fatal(err)
	}
	awaitGone(t, first)
	awaitIstio(t, second, v1alpha1.ConditionReady, "ready")
}

// TestIstioOperatorStalls: what needs a user says so, with the remedy.
func TestIstioOperatorStalls(t *testing.T) {
	podsStart.Store(true)
	controlPlaneWorks.Store(true)
	start(t)
	for name, c := range map[string]struct{ metadata, spec, want string }{
		"profile":   {``, `{profile: ambient}`, "UnknownProfile: spec.profile: profile ambient has no sidecars"},
		"names":     {``, `{components: {egressGateways: [{name: a}, {name: a}]}}`, "InvalidValues: spec.components.egressGateways[1].name"},
		"rejected":  {``, `{profile: minimal, values: {global: {network: "not a network"}}}`, "Rejected: "},
		"foreign":   {`, finalizers: [istio-finalizer.install.istio.io]`, `{profile: minimal}`, "ObjectConflict: Istio's operator looks after this object"},
		"its-error": {``, `{profile: minimal, components: {pilot: {k8s: {overlays: [{kind: Deployment, name: istiod, patches: [{path: spec.nothing, value: 1}]}]}}}}`, "field not declared in schema"},
	} {
		t.Run(name, func(t *testing.T) {
			iop := istioOperator(t, fmt.Sprintf(`{apiVersion: install.istio.io/v1alpha1, kind: IstioOperator, metadata: {namespace: mesh-iop, name: %s%s}, spec: %s}`, name, c.metadata, c.spec))
			awaitIstio(t, iop, v1alpha1.ConditionStalled, c.want)
			if name == "foreign" {
				patch(t, iop, `{"metadata":{"finalizers":null}}`)
				awaitIstio(t, iop, v1alpha1.ConditionReady, "ready")
			}
			if err := world.admin.Delete(context.Background(), iop); err != nil {
				t.Fatal(err)
			}
			awaitGone(t, iop)
		})
	}
}
