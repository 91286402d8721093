// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/meshwright/meshwright/test/e2e/env"
)

const (
	helmSpace = "e2e-helm"
	helmHost  = "shop.e2e.example"
	helmRate  = 50
)

// definitions are the kinds of the mesh's APIs.
var definitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// helmRelease is one of the mesh's charts, installed with --wait.
func helmRelease(chart, name string, values map[string]any) env.Release {
	return env.Release{
		Name: name, Namespace: env.MeshNamespace, Chart: filepath.Join("..", "..", "charts", chart), Values: values, Wait: true,
	}
}

// helmAlone makes sure that nothing of a mesh is there, and returns what is.
func helmAlone(t *testing.T) []string {
	t.Helper()
	ctx := t.Context()
	must(t, cluster.UninstallOperator())
	must(t, cluster.MakeNamespace(ctx, env.OperatorNamespace, nil))
	must(t, cluster.DeleteNamespace(ctx, hangLimit, env.MeshNamespace))
	dropDefinitions(t)
	return settled(t)
}

// helmMesh installs a mesh by helm, and a workload behind its gateway. It returns a request that is answered.
func helmMesh(t *testing.T, releases ...env.Release) env.Request {
	t.Helper()
	ctx := t.Context()
	start := time.Now()
	for _, r := range releases {
		must(t, cluster.Helm(ctx, installLimit, r))
	}
	t.Logf("the control plane is ready after %.0f s", time.Since(start).Seconds())
	// Workloads and a gateway that begin at that very moment are served.
	must(t, cluster.MakeNamespace(ctx, helmSpace, map[string]string{"istio-injection": "enabled"}))
	must(t, cluster.Apply(ctx, helmSpace, []byte(strings.ReplaceAll(string(data(t, "upgrade/workload.yaml")), "NAME", "shop"))))
	must(t, cluster.Apply(ctx, helmSpace, data(t, "helm.yaml")))
	must(t, cluster.Helm(ctx, installLimit, helmRelease("gateway", env.IngressGateway, nil)))
	must(t, cluster.WaitDeployments(ctx, podLimit, helmSpace, "shop"))
	pod, err := cluster.PodOf(ctx, helmSpace, "app=shop")
	must(t, err)
	if _, ok := env.Sidecar(pod); !ok {
		t.Error("the workload has no proxy")
	}
	address, err := cluster.Address(ctx, changeLimit, env.MeshNamespace, env.IngressGateway)
	must(t, err)
	request := env.Request{URL: "http://" + helmHost + "/", Address: address + ":80", Timeout: 5 * time.Second}
	sendTo(t, request, ok)
	t.Logf("a request is answered after %.0f s", time.Since(start).Seconds())
	return request
}

// TestHelm installs a mesh with helm alone: it serves as soon as helm says so, its upgrade costs no request, an operator
// that comes later does not touch it, and helm removes it.
func TestHelm(t *testing.T) {
	ctx := t.Context()
	before := helmAlone(t)
	bin := cmp.Or(os.Getenv("E2E_CNI_BIN_DIR"), "/usr/lib/cni")
	controlPlane := map[string]any{"cni": map[string]any{"enabled": true}}
	request := helmMesh(t, helmRelease("base", "base", nil),
		helmRelease("cni", "cni", map[string]any{"cniBinDir": bin}), helmRelease("controlplane", "controlplane", controlPlane))
	loaded(t, request, func() {
		upgradeByHelm(t, controlPlane)
		operatorBesideHelm(t)
	})

	start := time.Now()
	must(t, cluster.DeleteNamespace(ctx, podLimit, helmSpace))
	for _, name := range []string{env.IngressGateway, "controlplane", "cni", "base"} {
		must(t, cluster.Unhelm(podLimit, env.MeshNamespace, name))
	}
	// In its own namespace the control plane leaves what the next one goes on with; elsewhere nothing.
	leaves(t, before, func(name string) bool {
		return name == "namespaces. /"+env.MeshNamespace || strings.Contains(name, " "+env.MeshNamespace+"/")
	})
	if _, err := cluster.Kube.CoreV1().Secrets(env.MeshNamespace).Get(ctx, "meshwright-ca", metav1.GetOptions{}); err != nil {
		t.Errorf("the authority, which pods that still run trust: %v", err)
	}
	must(t, cluster.DeleteNamespace(ctx, podLimit, env.MeshNamespace))
	leaves(t, before, func(string) bool { return false })
	t.Logf("removed in %.0f s", time.Since(start).Seconds())
	dropDefinitions(t)
}

// TestHandover gives a mesh that helm installed to the operator: no object is made anew, no request is lost, and the
// operator removes what helm has installed.
func TestHandover(t *testing.T) {
	ctx := t.Context()
	before := helmAlone(t)
	request := helmMesh(t, helmRelease("base", "base", nil), helmRelease("controlplane", "controlplane", nil))
	was := identities(t)
	loaded(t, request, func() {
		must(t, cluster.InstallOperator(ctx, installLimit, operatorChart))
		for _, name := range []string{"base", "controlplane", env.IngressGateway} {
			objects, err := cluster.HelmObjects(env.MeshNamespace, name)
			must(t, err)
			for _, u := range objects {
				r, err := cluster.Resource(ctx, u.GroupVersionKind(), env.MeshNamespace)
				must(t, err)
				_, err = r.Patch(ctx, u.GetName(), types.MergePatchType, []byte(`{"metadata":{"annotations":{"operator.meshwright.dev/adopt":"true"}}}`), metav1.PatchOptions{})
				must(t, err)
			}
		}
		name, err := cluster.ApplyMesh(ctx, []byte("apiVersion: operator.meshwright.dev/v1alpha1\nkind: MeshOperator\nmetadata:\n  name: mesh\nspec:\n  profile: default\n"))
		must(t, err)
		c, err := cluster.WaitMesh(ctx, installLimit, name)
		must(t, err)
		t.Logf("handed over: %s", c.Message)
		must(t, cluster.Kube.CoreV1().Secrets(env.MeshNamespace).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "owner=helm"}))
	})
	if is := identities(t); is != was {
		t.Errorf("the objects are %s, were %s", is, was)
	}
	must(t, cluster.DeleteNamespace(ctx, podLimit, helmSpace))
	must(t, removeMeshes(ctx))
	must(t, cluster.UninstallOperator())
	// Helm made the namespace, so it stays.
	must(t, cluster.DeleteNamespace(ctx, podLimit, env.MeshNamespace))
	leaves(t, before, func(string) bool { return false })
	list, err := cluster.Dynamic.Resource(definitions).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/managed-by=meshwright-operator"})
	must(t, err)
	if len(list.Items) == 0 {
		t.Error("the definitions were not handed over")
	}
	dropDefinitions(t)
}

// identities tells which objects of the mesh there are: those that would break connections if they were made anew.
func identities(t *testing.T) string {
	t.Helper()
	var out []string
	for _, resource := range []schema.GroupVersionResource{
		{Version: "v1", Resource: "services"},
		{Version: "v1", Resource: "serviceaccounts"},
		{Version: "v1", Resource: "configmaps"},
		{Group: "apps", Version: "v1", Resource: "deployments"},
	} {
		list, err := cluster.Dynamic.Resource(resource).Namespace(env.MeshNamespace).List(t.Context(), metav1.ListOptions{})
		must(t, err)
		for _, item := range list.Items {
			out = append(out, fmt.Sprintf("%s %s %s", resource.Resource, item.GetName(), item.GetUID()))
		}
	}
	s, err := cluster.Kube.CoreV1().Secrets(env.MeshNamespace).Get(t.Context(), "meshwright-ca", metav1.GetOptions{})
	must(t, err)
	slices.Sort(out)
	return strings.Join(append(out, "authority "+string(s.UID)), ", ")
}

// upgradeByHelm changes values of two releases as `helm upgrade --wait` does.
func upgradeByHelm(t *testing.T, controlPlane map[string]any) {
	t.Helper()
	ctx := t.Context()
	controlPlane["replicas"] = 2
	controlPlane["meshConfig"] = map[string]any{"accessLogFile": "/dev/stdout"}
	must(t, cluster.Helm(ctx, installLimit, helmRelease("controlplane", "controlplane", controlPlane)))
	must(t, cluster.Helm(ctx, installLimit, helmRelease("gateway", env.IngressGateway, map[string]any{
		"replicas": 2, "podAnnotations": map[string]any{"e2e.example/upgraded": "yes"},
	})))
	for _, name := range []string{env.ControlPlane, env.IngressGateway} {
		d, err := cluster.Kube.AppsV1().Deployments(env.MeshNamespace).Get(ctx, name, metav1.GetOptions{})
		must(t, err)
		if d.Status.UpdatedReplicas != 2 || d.Status.AvailableReplicas < 2 {
			t.Errorf("helm says that %s is upgraded, and it is %+v", name, d.Status)
		}
	}
	must(t, cluster.WaitDeployments(ctx, podLimit, env.MeshNamespace, env.ControlPlane, env.IngressGateway))
	pod, err := cluster.PodOf(ctx, env.MeshNamespace, "istio=ingressgateway")
	must(t, err)
	if pod.Annotations["e2e.example/upgraded"] != "yes" {
		t.Errorf("the gateway's pod has the annotations %v", pod.Annotations)
	}
}

// operatorBesideHelm asks an operator for the mesh that helm has installed.
func operatorBesideHelm(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	was := identities(t)
	manifest, err := os.ReadFile(meshManifest)
	must(t, err)
	must(t, cluster.InstallOperator(ctx, installLimit, operatorChart))
	name, err := cluster.ApplyMesh(ctx, manifest)
	must(t, err)
	c, err := cluster.WaitCondition(ctx, changeLimit, env.MeshOperator, "", name, "Stalled", "True")
	must(t, err)
	if c.Reason != "ObjectConflict" || !strings.Contains(c.Message, "the Helm release "+env.MeshNamespace+"/controlplane") {
		t.Errorf("Stalled with %s: %q; want ObjectConflict, which names the release", c.Reason, c.Message)
	}
	t.Logf("told: %s", c.Message)
	must(t, removeMeshes(ctx))
	must(t, cluster.UninstallOperator())
	if is := identities(t); is != was {
		t.Errorf("the objects are %s, were %s", is, was)
	}
}

// loaded sends requests without a pause while work runs; none may fail.
func loaded(t *testing.T, r env.Request, work func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	r.RPS, r.Concurrency = helmRate, 8
	results := make(chan []env.Result, 1)
	start := time.Now()
	go func() { results <- env.Load(ctx, r) }()
	work()
	stop()
	report := env.Summary(<-results, env.VersionField)
	t.Logf("%s", report)
	if report.Failed() > 0 {
		t.Errorf("%d requests failed", report.Failed())
	}
	if want := int(time.Since(start).Seconds() * helmRate / 2); report.Requests < want {
		t.Errorf("%d requests, want at least %d: the load was not what it should be", report.Requests, want)
	}
}

// leaves waits until the cluster is as it was before, but for what may stay.
func leaves(t *testing.T, before []string, stays func(string) bool) {
	t.Helper()
	must(t, env.Eventually(t.Context(), podLimit, "the cluster as it was before", func(ctx context.Context) error {
		after, going, err := inventory(ctx)
		if err != nil {
			return err
		}
		more := slices.DeleteFunc(missing(before, after), stays)
		if less := missing(after, before); len(more)+len(less)+len(going) > 0 {
			return fmt.Errorf("left over: %v; lost: %v; being deleted: %v", more, less, going)
		}
		return nil
	}))
}

// dropDefinitions removes the mesh's APIs, which neither helm nor the operator removes, and which neither takes over
// from the other.
func dropDefinitions(t *testing.T) {
	t.Helper()
	must(t, env.Eventually(t.Context(), podLimit, "no definition of the mesh's APIs", func(ctx context.Context) error {
		list, err := cluster.Dynamic.Resource(definitions).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=base,app.kubernetes.io/part-of=meshwright"})
		if err != nil {
			return err
		}
		for _, item := range list.Items {
			if item.GetDeletionTimestamp() != nil {
				continue
			}
			if err := cluster.Dynamic.Resource(definitions).Delete(ctx, item.GetName(), metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
				return err
			}
		}
		if len(list.Items) > 0 {
			return fmt.Errorf("%d are still there", len(list.Items))
		}
		return nil
	}))
}
