// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"github.com/meshwright/meshwright/test/e2e/env"
)

// absence is how long nothing of the mesh but its proxies runs, at least.
const absence = 30 * time.Second

// closed is a taint: no pod starts on the node that does not tolerate it.
var closed = corev1.Taint{Key: "e2e.meshwright.dev/closed", Effect: corev1.TaintEffectNoSchedule}

// closeNodes lets no pod start on any node, or pods start again.
func closeNodes(ctx context.Context, shut bool) error {
	nodes, err := cluster.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list the nodes: %w", err)
	}
	for _, n := range nodes.Items {
		err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
			node, err := cluster.Kube.CoreV1().Nodes().Get(ctx, n.Name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			node.Spec.Taints = slices.DeleteFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == closed.Key })
			if shut {
				node.Spec.Taints = append(node.Spec.Taints, closed)
			}
			_, err = cluster.Kube.CoreV1().Nodes().Update(ctx, node, metav1.UpdateOptions{})
			return err
		})
		if err != nil {
			return fmt.Errorf("change the taints of node %s: %w", n.Name, err)
		}
	}
	return nil
}

// No control plane, no webhook and no operator runs, and none can start. What is outside of the mesh does not notice:
// pods start, and requests are answered; objects of the mesh can be changed, and the API server still checks what it can
// by itself; no pod of the mesh starts without its proxy. When pods can start again, all of that takes effect, and
// nobody helps.
func testControlPlaneAway(t *testing.T) {
	application(t)
	applied(t, "gateway.yaml")
	address, err := cluster.Address(t.Context(), changeLimit, env.MeshNamespace, env.IngressGateway)
	must(t, err)
	request := env.Request{URL: "http://" + plainHost + "/", Address: address + ":80", RPS: 20, Concurrency: 8}
	sendTo(t, request, ok)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	load := make(chan []env.Result, 1)
	go func() { load <- env.Load(ctx, request) }()

	t.Cleanup(func() {
		if err := closeNodes(context.Background(), false); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	must(t, closeNodes(ctx, true))
	for namespace, selector := range map[string]string{env.OperatorNamespace: operatorSelector, env.MeshNamespace: "app=meshwright"} {
		n, err := cluster.KillPods(ctx, namespace, selector)
		must(t, err)
		if n == 0 {
			t.Fatalf("no pod of %s was there to be killed", selector)
		}
	}
	start := time.Now()
	whileAway(t)
	time.Sleep(time.Until(start.Add(absence)))
	must(t, closeNodes(ctx, false))

	start = time.Now()
	must(t, cluster.WaitDeployments(ctx, podLimit, env.OperatorNamespace, env.OperatorName))
	must(t, cluster.WaitDeployments(ctx, podLimit, env.MeshNamespace))
	_, err = cluster.WaitMesh(ctx, installLimit, meshOf(t))
	must(t, err)
	t.Logf("away for %s; ready %.0f s after pods could start again", absence, time.Since(start).Seconds())
	until(t, "the route that was made meanwhile", only("v2"), call, echoURL, "--count=20", "--header=end-user:jason")
	// Kubernetes waits the longer with another try the more have failed.
	must(t, env.Eventually(ctx, installLimit, "the workload of the mesh", func(ctx context.Context) error {
		return cluster.WaitDeployments(ctx, time.Second, appSpace, "late")
	}))
	if pod, err := cluster.PodOf(ctx, appSpace, "app=late"); err != nil {
		t.Error(err)
	} else if _, has := env.Sidecar(pod); !has {
		t.Errorf("pod %s has no proxy", pod.Name)
	}
	if err := create(t, badRegex); err == nil || !strings.Contains(err.Error(), "regex") {
		t.Errorf("an invalid object, with the webhook back: %v", err)
	}
	stop()
	r := env.Summary(<-load, nil)
	t.Logf("meanwhile: %s", r)
	if r.Failed() > 0 || r.Requests == 0 {
		t.Errorf("%d of %d requests failed", r.Failed(), r.Requests)
	}
}

// whileAway is what is done while there is no control plane.
func whileAway(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	// One that was killed may go on for a moment.
	must(t, env.Eventually(ctx, changeLimit, "the end of the webhook", func(ctx context.Context) error {
		_, err := cluster.Kube.CoreV1().Pods(appSpace).Create(ctx, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "none-"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "none", Image: "none"}}},
		}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil {
			err = errors.New("it answers")
		} else if strings.Contains(err.Error(), "meshwright") {
			err = nil
		}
		return err
	}))
	late := data(t, "late.yaml")
	for _, namespace := range []string{plainSpace, appSpace} {
		must(t, cluster.Apply(ctx, namespace, late))
		t.Cleanup(func() {
			if err := cluster.Delete(context.Background(), namespace, late); err != nil {
				t.Errorf("clean up: %v", err)
			}
		})
	}
	must(t, cluster.WaitDeployments(ctx, podLimit, plainSpace, "late"))
	applied(t, "subsets.yaml")
	applied(t, "header.yaml")
	for name, manifest := range map[string]string{
		"spec.subsets[1]": "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata:\n  name: invalid\nspec:\n  host: invalid.e2e.example\n  subsets: [{name: a}, {name: a}]\n",
		"spec.namespace":  "apiVersion: operator.meshwright.dev/v1alpha1\nkind: MeshOperator\nmetadata:\n  name: e2e-invalid\nspec:\n  revision: e2e-invalid\n  namespace: kube-system\n",
	} {
		if err := create(t, manifest); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s is invalid, and the API server says %v", name, err)
		}
	}
	must(t, env.Eventually(ctx, changeLimit, "the refusal of a pod without a proxy", func(ctx context.Context) error {
		d, err := cluster.Kube.AppsV1().Deployments(appSpace).Get(ctx, "late", metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, c := range d.Status.Conditions {
			if c.Status == corev1.ConditionTrue && strings.Contains(c.Message, "meshwright") {
				return nil
			}
		}
		return fmt.Errorf("conditions %+v", d.Status.Conditions)
	}))
	if pods, err := cluster.Kube.CoreV1().Pods(appSpace).List(ctx, metav1.ListOptions{LabelSelector: "app=late"}); err != nil || len(pods.Items) > 0 {
		t.Errorf("%d pods of the mesh without the webhook (%v), want none", len(pods.Items), err)
	}
}
