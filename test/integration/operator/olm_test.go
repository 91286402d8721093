// SPDX-License-Identifier: Apache-2.0

//go:build integration

package operator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/operator-framework/api/crds"
	"github.com/operator-framework/api/pkg/manifests"
	operatorsv1 "github.com/operator-framework/api/pkg/operators/v1"
	operatorsv1alpha1 "github.com/operator-framework/api/pkg/operators/v1alpha1"
	apiv2 "github.com/operator-framework/api/pkg/operators/v2"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

const checkout = "../../.."

// TestOLM plays the part of the Operator Lifecycle Manager: an OperatorGroup and a Subscription that were written for
// the operator of Istio lead through the catalog to the bundle, and the operator reconciles a mesh with the rights that
// the bundle asks for, and no others.
func TestOLM(t *testing.T) {
	podsStart.Store(true)
	controlPlaneWorks.Store(true)
	var group operatorsv1.OperatorGroup
	var subscription operatorsv1alpha1.Subscription
	documents(t, "config/olm/istio-operator/subscription.yaml", &group, &subscription)
	group.Namespace = subscription.Namespace // kubectl apply -n

	name := resolve(t, subscription)
	bundle, err := manifests.GetBundleFromDir(filepath.Join(checkout, "bundle"))
	if err != nil {
		t.Fatal(err)
	}
	if bundle.CSV.Name != name {
		t.Fatalf("the catalog leads to %s, the bundle is %s", name, bundle.CSV.Name)
	}
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

	operator := install(t, bundle, group)
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

// documents decodes the documents of a file of the checkout, and wants no field that is unknown.
func documents(t *testing.T, file string, into ...any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(checkout, file))
	if err != nil {
		t.Fatal(err)
	}
	decoder := yaml.NewYAMLToJSONDecoder(bytes.NewReader(data))
	for _, object := range into {
		if err := decoder.Decode(object); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
}

// blob is what the test needs of a file-based catalog.
type blob struct {
	Schema, Name, Package, DefaultChannel string
	Entries                               []struct{ Name, Replaces string }
}

// resolve returns the ClusterServiceVersion at the head of the channel that a Subscription asks for, out of the
// catalog whose CatalogSource it names.
func resolve(t *testing.T, s operatorsv1alpha1.Subscription) string {
	t.Helper()
	var namespace corev1.Namespace
	var source operatorsv1alpha1.CatalogSource
	documents(t, "config/olm/istio-operator/source.yaml", &namespace, &source)
	if source.Name != s.Spec.CatalogSource || source.Namespace != s.Spec.CatalogSourceNamespace || namespace.Name != source.Namespace {
		t.Fatalf("CatalogSource %s/%s; the Subscription asks for %s/%s", source.Namespace, source.Name, s.Spec.CatalogSourceNamespace, s.Spec.CatalogSource)
	}
	var blobs []blob
	files, err := filepath.Glob(filepath.Join(checkout, "bundle", "catalog", "*", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		decoder := yaml.NewYAMLToJSONDecoder(bytes.NewReader(data))
		for {
			var b blob
			if err := decoder.Decode(&b); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			blobs = append(blobs, b)
		}
	}
	replaced, entries := map[string]bool{}, []string{}
	for _, b := range blobs {
		if b.Schema != "olm.channel" || b.Package != s.Spec.Package || b.Name != s.Spec.Channel {
			continue
		}
		for _, e := range b.Entries {
			replaced[e.Replaces] = true
			entries = append(entries, e.Name)
		}
	}
	for _, e := range entries {
		for _, b := range blobs {
			if b.Schema == "olm.bundle" && b.Package == s.Spec.Package && b.Name == e && !replaced[e] {
				return e
			}
		}
	}
	t.Fatalf("package %s, channel %s: no bundle among %d blobs", s.Spec.Package, s.Spec.Channel, len(blobs))
	return ""
}

// installed is an operator that runs as OLM would run it.
type installed struct {
	condition client.ObjectKey
}

// install does what OLM does, in its order. The pod is a process here: with the ServiceAccount's rights, the arguments
// and variables of its container, and its namespace where pods have it.
func install(t *testing.T, bundle *manifests.Bundle, group operatorsv1.OperatorGroup) installed {
	t.Helper()
	where := group.Namespace
	if err := world.admin.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: where}}); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	for _, crd := range bundle.V1CRDs {
		have := crd.DeepCopy()
		if err := world.admin.Get(t.Context(), client.ObjectKeyFromObject(crd), have); err != nil {
			t.Fatal(err)
		}
		have.Spec = crd.Spec
		if err := world.admin.Update(t.Context(), have); err != nil {
			t.Fatal(err)
		}
	}
	strategy := bundle.CSV.Spec.InstallStrategy.StrategySpec
	if len(strategy.ClusterPermissions) != 1 || len(strategy.Permissions) != 0 || len(strategy.DeploymentSpecs) != 1 {
		t.Fatalf("%d cluster permissions, %d permissions, %d deployments",
			len(strategy.ClusterPermissions), len(strategy.Permissions), len(strategy.DeploymentSpecs))
	}
	account := strategy.ClusterPermissions[0].ServiceAccountName
	subject := []rbacv1.Subject{{Kind: "ServiceAccount", Name: account, Namespace: where}}
	key := client.ObjectKey{Namespace: where, Name: bundle.CSV.Name}
	put(t, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: where, Name: account}})
	put(t, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: key.Name}, Rules: strategy.ClusterPermissions[0].Rules})
	put(t, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: key.Name}, Subjects: subject,
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: key.Name},
	})
	for _, object := range bundle.Objects {
		if object.GetKind() != "Service" {
			continue
		}
		object = object.DeepCopy()
		object.SetNamespace(where)
		put(t, object)
	}
	report(t, key, subject)

	spec := strategy.DeploymentSpecs[0]
	spec.Spec.Template.Annotations = map[string]string{
		"olm.targetNamespaces": strings.Join(group.Spec.TargetNamespaces, ","), "olm.operatorGroup": group.Name, "olm.operatorNamespace": where,
	}
	container := &spec.Spec.Template.Spec.Containers[0]
	container.Env = append(container.Env, corev1.EnvVar{Name: "OPERATOR_CONDITION_NAME", Value: key.Name})
	put(t, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: where, Name: spec.Name, Labels: spec.Label}, Spec: spec.Spec})
	if got := spec.Spec.Template.Spec.ServiceAccountName; got != account {
		t.Fatalf("the pod runs as %s, the rights are those of %s", got, account)
	}
	runPod(t, where, account, container)
	return installed{condition: key}
}

// put creates an object for as long as the test.
func put(t *testing.T, object client.Object) {
	t.Helper()
	if err := world.admin.Create(t.Context(), object); err != nil {
		t.Fatalf("create %T %s: %v", object, object.GetName(), err)
	}
	t.Cleanup(func() { _ = world.admin.Delete(context.Background(), object) })
}

// report makes the OperatorCondition and the rights that OLM gives to it: to read and write this one.
func report(t *testing.T, key client.ObjectKey, subject []rbacv1.Subject) {
	t.Helper()
	definition := crds.OperatorCondition()
	put(t, definition)
	eventually(t, 10*time.Second, func() error {
		err := conditionClient(t).Create(t.Context(), &apiv2.OperatorCondition{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}})
		if apierrors.IsAlreadyExists(err) {
			return nil
		}
		return err
	})
	put(t, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{apiv2.GroupVersion.Group}, Resources: []string{"operatorconditions"}, ResourceNames: []string{key.Name},
		Verbs: []string{"get", "update", "patch"},
	}}})
	put(t, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}, Subjects: subject,
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: key.Name},
	})
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
