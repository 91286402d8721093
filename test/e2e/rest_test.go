// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshwright/meshwright/test/e2e/env"
)

// What an operator that has nothing to do may cost.
const (
	restWindow     = time.Minute
	restRequests   = 20       // to the API server, in restWindow
	restWorkingSet = 60 << 20 // bytes, as `kubectl top pod` counts
)

// An operator whose mesh is ready, and to which nothing happens, sends few requests and needs little memory.
func testOperatorAtRest(t *testing.T) {
	installed(t)
	ctx := t.Context()
	pod, err := cluster.PodOf(ctx, env.OperatorNamespace, operatorSelector)
	must(t, err)
	bindings := cluster.Kube.RbacV1().ClusterRoleBindings()
	const binding = "e2e-metrics-reader"
	_, err = bindings.Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: binding},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "meshwright-metrics-reader"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: env.OperatorNamespace, Name: "default"}},
	}, metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		must(t, err)
	}
	t.Cleanup(func() {
		if err := bindings.Delete(context.Background(), binding, metav1.DeleteOptions{}); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	requests := func() int {
		page, err := cluster.Page(ctx, env.OperatorNamespace, pod.Name, 8443, "/metrics", "default")
		must(t, err)
		parser := expfmt.NewTextParser(model.LegacyValidation)
		families, err := parser.TextToMetricFamilies(bytes.NewReader(page))
		must(t, err)
		total := 0.0
		for _, m := range families["rest_client_requests_total"].GetMetric() {
			total += m.GetCounter().GetValue()
		}
		return int(total)
	}
	// What went before, an installation or drift, ends in its own time.
	fewest := restRequests + 1
	must(t, env.Eventually(ctx, installLimit, fmt.Sprintf("a minute with at most %d requests", restRequests), func(ctx context.Context) error {
		before := requests()
		time.Sleep(restWindow)
		// Each look at the metrics asks the API server who looks, and whether he may.
		if fewest = requests() - before - 2; fewest > restRequests {
			return fmt.Errorf("%d requests in %s", fewest, restWindow)
		}
		return nil
	}))
	set, err := workingSet(ctx, pod.Spec.NodeName, env.OperatorNamespace, pod.Name)
	must(t, err)
	t.Logf("%d requests to the API server in %s; %.1f MiB", fewest, restWindow, float64(set)/(1<<20))
	if set > restWorkingSet {
		t.Errorf("the operator needs %d MiB, want at most %d", set>>20, restWorkingSet>>20)
	}
}

// workingSet asks the kubelet for the memory of a pod that cannot be reclaimed, in bytes
// (https://kubernetes.io/docs/reference/instrumentation/node-metrics/).
func workingSet(ctx context.Context, node, namespace, name string) (uint64, error) {
	text, err := cluster.Kube.CoreV1().RESTClient().Get().Resource("nodes").Name(node).SubResource("proxy").Suffix("stats/summary").DoRaw(ctx)
	if err != nil {
		return 0, fmt.Errorf("ask the kubelet of %s: %w", node, err)
	}
	var summary struct {
		Pods []struct {
			PodRef struct{ Name, Namespace string }
			Memory struct{ WorkingSetBytes uint64 }
		}
	}
	if err := json.Unmarshal(text, &summary); err != nil {
		return 0, fmt.Errorf("read the kubelet's summary: %w", err)
	}
	for _, p := range summary.Pods {
		if p.PodRef.Name == name && p.PodRef.Namespace == namespace && p.Memory.WorkingSetBytes > 0 {
			return p.Memory.WorkingSetBytes, nil
		}
	}
	return 0, fmt.Errorf("the kubelet of %s knows no memory of pod %s/%s", node, namespace, name)
}
