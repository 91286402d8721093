// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package gitops

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/meshwright/meshwright/test/e2e/env"
)

// TestFlux runs a fleet as its owner would: what the repository holds is installed, changed and removed by commits
// alone.
func TestFlux(t *testing.T) {
	ctx := t.Context()
	must(t, cluster.WaitNoMesh(ctx, changeLimit))
	flux := startController(t)
	must(t, cluster.ApplyFiles(ctx, "", filepath.Join(shipped, "flux", "sync.yaml")))
	t.Cleanup(func() {
		if err := clearFlux(context.Background()); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	files := newRepository(t)

	if !t.Run("ReadyWhenTrafficFlows", func(t *testing.T) { testFluxInstall(t, flux, files) }) {
		return
	}
	t.Run("NothingIsWrittenIntoSpecs", func(t *testing.T) {
		owned(t, env.MeshOperator, "", "mesh")
		owned(t, env.Gateway, "hello", "hello")
		owned(t, env.VirtualService, "hello", "hello")
		owned(t, peerAuthentication, "hello", "strict")
	})
	t.Run("NoDrift", flux.steady)
	t.Run("NoDriftAfterOperatorRestart", func(t *testing.T) {
		restartOperator(t)
		flux.steady(t)
	})
	t.Run("NoDriftAfterRotation", func(t *testing.T) {
		rotate(t)
		flux.steady(t)
	})
	t.Run("NoDriftAfterScaling", func(t *testing.T) {
		load := serveMetrics(t)
		load.scale(t)
		flux.steady(t)
		load.held(t)
	})
	t.Run("UpgradeByCommit", func(t *testing.T) { testFluxUpgrade(t, files) })
	t.Run("NoDriftAfterUpgrade", flux.steady)
	t.Run("RemovalByCommit", func(t *testing.T) { testFluxRemoval(t, files) })
	t.Run("RemovalAtOnce", testFluxRemovalAtOnce)
}

var peerAuthentication = schema.GroupVersionKind{Group: "security.istio.io", Version: "v1", Kind: "PeerAuthentication"}

// testFluxInstall: when Flux says that the applications are ready, the first request is answered.
func testFluxInstall(t *testing.T, flux *controller, files *repository) {
	ctx := t.Context()
	revision, err := files.commit(ctx, "a mesh and an application in it")
	must(t, err)
	must(t, waitReady(ctx, installLimit, "mesh", revision))
	c, ok := env.ConditionOf(read(t, env.MeshOperator, "", "mesh"), "Ready")
	if !ok || c.Status != "True" {
		t.Errorf("Flux says that the mesh is ready, its status %s: %s", c.Reason, c.Message)
	}
	must(t, waitReady(ctx, podLimit, "apps", revision))
	must(t, answers(ctx))
	must(t, waitReady(ctx, podLimit, "fleet", revision))
	pod, err := cluster.PodOf(ctx, "hello", "app=hello")
	must(t, err)
	if _, ok := env.Sidecar(pod); !ok {
		t.Error("the application's pod was made before proxies could be put into it")
	}
}

const meshFile = "config/gitops/mesh/meshoperator.yaml"

// testFluxUpgrade: a commit that names another tag is ready when every pod of the mesh runs it.
func testFluxUpgrade(t *testing.T, files *repository) {
	ctx := t.Context()
	next := cluster.Tag + "-next"
	must(t, files.write(meshFile, "apiVersion: operator.meshwright.dev/v1alpha1\nkind: MeshOperator\nmetadata:\n  name: mesh\n"+
		"spec:\n  profile: default\n  image:\n    tag: "+next+"\n"))
	revision, err := files.commit(ctx, "another release")
	must(t, err)
	must(t, waitReady(ctx, installLimit, "mesh", revision))
	must(t, answers(ctx))
	pods, err := cluster.Kube.CoreV1().Pods(env.MeshNamespace).List(ctx, metav1.ListOptions{})
	must(t, err)
	running := 0
	for _, p := range pods.Items {
		if p.DeletionTimestamp != nil || p.Status.Phase != corev1.PodRunning {
			continue
		}
		running++
		if image := p.Spec.Containers[0].Image; !strings.HasSuffix(image, ":"+next) {
			t.Errorf("pod %s runs %s although Flux says that the upgrade is done", p.Name, image)
		}
	}
	if running < 4 {
		t.Errorf("%d pods of the mesh run, want two of the control plane and two of the gateway", running)
	}
	must(t, reconcile(ctx, "apps"))
}

const (
	meshPart = "config/gitops/flux/cluster/mesh.yaml"
	appsPart = "config/gitops/flux/cluster/apps.yaml"
)

// testFluxRemoval: a commit takes away the mesh with its applications, both at once, and the next one brings them back.
func testFluxRemoval(t *testing.T, files *repository) {
	ctx := t.Context()
	must(t, files.git("rm", "--quiet", meshPart, appsPart))
	revision, err := files.commit(ctx, "no mesh")
	must(t, err)
	must(t, waitReady(ctx, podLimit, "fleet", revision))
	must(t, waitGone(ctx, installLimit, "mesh", "apps"))
	must(t, cluster.WaitNoMesh(ctx, podLimit))
	must(t, cluster.WaitGone(ctx, podLimit, env.Namespace, "", "hello"))
	must(t, env.Eventually(ctx, podLimit, "nothing left of the mesh", nothingLeft))

	must(t, files.git("checkout", "--quiet", "HEAD~1", "--", meshPart, appsPart))
	revision, err = files.commit(ctx, "a mesh again")
	must(t, err)
	must(t, waitReady(ctx, podLimit, "fleet", revision))
	must(t, waitReady(ctx, podLimit, "apps", revision))
	must(t, answers(ctx))
}

// testFluxRemovalAtOnce: everything goes together, in no order, the operator with it.
func testFluxRemovalAtOnce(t *testing.T) {
	ctx := t.Context()
	client, err := cluster.Resource(ctx, kustomization, fluxNamespace)
	must(t, err)
	must(t, client.Delete(ctx, "fleet", metav1.DeleteOptions{}))
	must(t, waitGone(ctx, podLimit, append([]string{"fleet"}, fleet...)...))
	for _, namespace := range []string{"hello", env.OperatorNamespace} {
		must(t, cluster.WaitGone(ctx, podLimit, env.Namespace, "", namespace))
	}
	must(t, env.Eventually(ctx, podLimit, "nothing left of the mesh", nothingLeft))
}

// nothingLeft looks for what the operator makes beside definitions.
func nothingLeft(ctx context.Context) error {
	var left []string
	for _, r := range []schema.GroupVersionResource{
		{Group: "apps", Version: "v1", Resource: "deployments"},
		{Version: "v1", Resource: "services"},
		{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"},
		{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"},
		{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingwebhookconfigurations"},
		{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"},
	} {
		list, err := cluster.Dynamic.Resource(r).List(ctx, metav1.ListOptions{
			LabelSelector: "app.kubernetes.io/part-of=meshwright,app.kubernetes.io/component!=operator",
		})
		if err != nil {
			return err
		}
		for _, item := range list.Items {
			left = append(left, item.GetKind()+" "+item.GetName())
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("there are %s", strings.Join(left, ", "))
	}
	return nil
}
