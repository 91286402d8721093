// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/meshwright/meshwright/test/e2e/env"
)

// made are the kinds that the charts render, but the CRDs: those stay, for
// deleting them would delete every user's objects.
var made = []schema.GroupVersionResource{
	{Version: "v1", Resource: "services"},
	{Version: "v1", Resource: "serviceaccounts"},
	{Version: "v1", Resource: "configmaps"},
	{Version: "v1", Resource: "pods"},
	{Group: "apps", Version: "v1", Resource: "deployments"},
	{Group: "apps", Version: "v1", Resource: "replicasets"},
	{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"},
	{Group: "policy", Version: "v1", Resource: "poddisruptionbudgets"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "roles"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterrolebindings"},
	{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingwebhookconfigurations"},
	{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"},
	{Group: "operator.meshwright.dev", Version: "v1alpha1", Resource: "meshrevisions"},
}

// remains lists the objects of a mesh, the operator's own left out.
func remains(ctx context.Context) ([]string, error) {
	var out []string
	for _, r := range made {
		selector := "app.kubernetes.io/part-of=meshwright,app.kubernetes.io/component!=operator"
		if r.Resource == "meshrevisions" {
			selector = ""
		}
		list, err := cluster.Dynamic.Resource(r).List(ctx, metav1.ListOptions{LabelSelector: selector})
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", r.Resource, err)
		}
		for _, item := range list.Items {
			if item.GetNamespace() != env.OperatorNamespace {
				out = append(out, r.Resource+" "+item.GetNamespace()+"/"+item.GetName())
			}
		}
	}
	for kind, name := range map[string]string{"configmaps": "meshwright-ca-root-cert", "secrets": "meshwright-ca"} {
		list, err := cluster.Dynamic.Resource(schema.GroupVersionResource{Version: "v1", Resource: kind}).List(ctx,
			metav1.ListOptions{FieldSelector: "metadata.name=" + name})
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", kind, err)
		}
		for _, item := range list.Items {
			out = append(out, kind+" "+item.GetNamespace()+"/"+item.GetName())
		}
	}
	slices.Sort(out)
	return out, nil
}

// Deleting the MeshOperator removes all that it made, and nothing hangs; pods
// start without a proxy then.
func testRemoval(t *testing.T) {
	application(t)
	ctx := t.Context()
	if there, err := remains(ctx); err != nil || len(there) < 10 {
		t.Fatalf("an installed mesh has %v (%v): the list of what to look for is wrong", there, err)
	}
	must(t, removeMeshes(ctx))
	must(t, env.Eventually(ctx, podLimit, "nothing left of the mesh", func(ctx context.Context) error {
		left, err := remains(ctx)
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("left over: %s", strings.Join(left, ", "))
		}
		return err
	}))
	must(t, cluster.Restart(ctx, appSpace, "echo-v1"))
	must(t, cluster.WaitDeployments(ctx, podLimit, appSpace, "echo-v1"))
	pod, err := cluster.PodOf(ctx, appSpace, "app=echo,version=v1")
	must(t, err)
	if _, ok := env.Sidecar(pod); ok {
		t.Error("a pod got a proxy although the mesh has gone")
	}
}
