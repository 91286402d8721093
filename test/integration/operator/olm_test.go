// SPDX-License-Identifier: Apache-2.0

//go:build integration

package operator

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/operator-framework/api/pkg/manifests"
	operatorsv1alpha1 "github.com/operator-framework/api/pkg/operators/v1alpha1"
	apiv2 "github.com/operator-framework/api/pkg/operators/v2"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/test/olm"
)

const checkout = "../../.."

// TestOLM plays the part of the Operator Lifecycle Manager: an OperatorGroup and a Subscription that were written for
// the operator of Istio lead through the catalog to the bundle, and the operator reconciles a mesh with the rights that
// the bundle asks for, and no others.
func TestOLM(t *testing.T) {
	podsStart.Store(true)
	controlPlaneWorks.Store(true)
	request, err := olm.Read(checkout)
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := request.Bundle(checkout)
	if err != nil {
		t.Fatal(err)
	}
	group := request.Group
	supported := operatorsv1alpha1.InstallModeSet{}
	for _, mode := range bundle.CSV.Spec.InstallModes {
		supported[mode.Type] = mode.Supported
	}
	for _, targets := range [][]string{group.Spec.TargetNamespaces, {"other"}, {""}} {
		if err := supported.Supports(group.Namespace, targets); err != nil {
			t.Errorf("targets %q: %v", targets, err)
		}
	}
	if supported.Supports(group.Namespace, []string{"a", "b"}) == nil {
		t.Error("several namespaces are supported")
	}

	operator := install(t, request, bundle)
	m := mesh(t, "example-istiooperator", v1alpha1.MeshOperatorSpec{Profile: "demo"})
	await(t, m, v1alpha1.ConditionReady, metav1.ConditionTrue, "the control plane and 2 gateways are ready")
	condition(t, operator.condition, metav1.ConditionTrue)

	// While a mesh is rolled out, OLM is to wait with a newer operator.
	podsStart.Store(false)
	if err := world.admin.Get(t.Context(), client.ObjectKeyFromObject(m), m); err != nil {
		t.Fatal(err)
	}
	m.Spec.MeshConfig = &v1alpha1.MeshConfig{AccessLogFile: new("/dev/stdout")}
	m.Spec.Components = &v1alpha1.Components{ControlPlane: &v1alpha1.ControlPlane{Workload: v1alpha1.Workload{PodLabels: map[string]string{"example.org/roll": "yes"}}}}
	if err := world.admin.Update(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	condition(t, operator.condition, metav1.ConditionFalse)
	podsStart.Store(true)
	condition(t, operator.condition, metav1.ConditionTrue)
}

// installed is an operator that runs as OLM would run it.
type installed struct {
	condition client.ObjectKey
}

// install does what OLM does, in its order. The pod is a process here: with the ServiceAccount's rights, the arguments
// and variables of its container, and its namespace where pods have it.
func install(t *testing.T, request olm.Request, bundle *manifests.Bundle) installed {
	t.Helper()
	plan, err := request.Plan(bundle)
	if err != nil {
		t.Fatal(err)
	}
	where := plan.Condition.Namespace
	if err := world.admin.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: where}}); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	for _, object := range plan.Definitions {
		crd, have := object.(*apiextensionsv1.CustomResourceDefinition), &apiextensionsv1.CustomResourceDefinition{}
		err := world.admin.Get(t.Context(), client.ObjectKeyFromObject(crd), have)
		if apierrors.IsNotFound(err) {
			put(t, crd)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		have.Spec = crd.Spec
		if err := world.admin.Update(t.Context(), have); err != nil {
			t.Fatal(err)
		}
	}
	for _, object := range plan.Objects {
		if _, is := object.(*apiv2.OperatorCondition); !is {
			put(t, object)
			continue
		}
		eventually(t, 10*time.Second, func() error {
			return client.IgnoreAlreadyExists(conditionClient(t).Create(t.Context(), object))
		})
	}
	put(t, plan.Deployment)
	pod := plan.Deployment.Spec.Template.Spec
	runPod(t, where, pod.ServiceAccountName, &pod.Containers[0])
	return installed{condition: plan.Condition}
}

// put creates an object for as long as the test.
func put(t *testing.T, object client.Object) {
	t.Helper()
	if err := world.admin.Create(t.Context(), object); err != nil {
		t.Fatalf("create %T %s: %v", object, object.GetName(), err)
	}
	t.Cleanup(func() { _ = world.admin.Delete(context.Background(), object) })
}

// runPod runs the container's program. The file with a pod's namespace is in a mount namespace of its own.
func runPod(t *testing.T, namespace, account string, container *corev1.Container) {
	t.Helper()
	_, kubeconfig, err := world.server.User("system:serviceaccount:"+namespace+":"+account, "system:serviceaccounts")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, kubeconfig, 0o600); err != nil {
		t.Fatal(err)
	}
	const pod = `mount -t tmpfs tmpfs /run && mkdir -p /run/secrets/kubernetes.io/serviceaccount &&
printf %s "$1" >/run/secrets/kubernetes.io/serviceaccount/namespace && shift && exec "$@"`
	args := append([]string{"--map-root-user", "--mount", "sh", "-ec", pod, "pod", namespace, world.binary}, container.Args...)
	args = append(args, "--kubeconfig="+file, "--metrics-address=0", "--probe-address=0", "--self-checks=false")
	cmd := exec.Command("unshare", args...)
	cmd.Env = os.Environ()
	for _, variable := range container.Env {
		cmd.Env = append(cmd.Env, variable.Name+"="+variable.Value)
	}
	launch(t, cmd)
}

func conditionClient(t *testing.T) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := apiv2.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(world.server.Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// condition waits until the operator tells OLM so.
func condition(t *testing.T, key client.ObjectKey, want metav1.ConditionStatus) {
	t.Helper()
	c := conditionClient(t)
	eventually(t, time.Minute, func() error {
		object := &apiv2.OperatorCondition{}
		if err := c.Get(t.Context(), key, object); err != nil {
			return err
		}
		if is := meta.FindStatusCondition(object.Spec.Conditions, apiv2.Upgradeable); is == nil || is.Status != want {
			return fmt.Errorf("Upgradeable is %+v, want %s", is, want)
		}
		return nil
	})
}
