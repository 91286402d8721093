// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package gitops

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/meshwright/meshwright/test/e2e/env"
)

// kustomization is the kind of what Flux applies together.
var kustomization = schema.GroupVersionKind{Group: "kustomize.toolkit.fluxcd.io", Version: "v1", Kind: "Kustomization"}

// fleet names the Kustomizations of config/gitops/flux/cluster, in their order.
var fleet = []string{"meshwright-operator", "mesh", "apps"}

// waitReady waits until Flux says that a revision is in place and healthy.
func waitReady(ctx context.Context, limit time.Duration, name, revision string) error {
	return env.Eventually(ctx, limit, "Kustomization "+name+" ready", func(ctx context.Context) error {
		u, err := cluster.Get(ctx, kustomization, fluxNamespace, name)
		if err != nil {
			return err
		}
		return readyAt(u, revision)
	})
}

func readyAt(u *unstructured.Unstructured, revision string) error {
	c, ok := env.ConditionOf(u, "Ready")
	if !ok {
		return errors.New("the controller has not seen it")
	}
	if at, _, _ := unstructured.NestedString(u.Object, "status", "lastAppliedRevision"); c.Status != "True" || !c.Current || at != revision {
		return fmt.Errorf("%s at %q: %s", c.Reason, at, c.Message)
	}
	return nil
}

// reconcile makes Flux compare and check everything again, and waits until it is done with all.
func reconcile(ctx context.Context, names ...string) error {
	asked := time.Now().Format(time.RFC3339Nano)
	patch := []byte(fmt.Sprintf(`{"metadata":{"annotations":{"reconcile.fluxcd.io/requestedAt":%q}}}`, asked))
	client, err := cluster.Resource(ctx, kustomization, fluxNamespace)
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, err := client.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			return fmt.Errorf("ask Kustomization %s to reconcile: %w", name, err)
		}
	}
	for _, name := range names {
		err := env.Eventually(ctx, podLimit, "Kustomization "+name+" reconciled", func(ctx context.Context) error {
			u, err := cluster.Get(ctx, kustomization, fluxNamespace, name)
			if err != nil {
				return err
			}
			if seen, _, _ := unstructured.NestedString(u.Object, "status", "lastHandledReconcileAt"); seen != asked {
				return fmt.Errorf("handled %q, not %q", seen, asked)
			}
			revision, _, _ := unstructured.NestedString(u.Object, "status", "lastAttemptedRevision")
			return readyAt(u, revision)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// looks is how often Flux compares in steady; any of them would put drift back, the next would find it again.
const looks = 2

// steady wants Flux to find everything as it left it, and healthy.
func (c *controller) steady(t *testing.T) {
	t.Helper()
	since := c.mark()
	for range looks {
		must(t, reconcile(t.Context(), fleet...))
	}
	changed, looked := c.changes(since)
	for _, name := range fleet {
		if looked[name] < looks {
			t.Errorf("Flux compared %s %d times, not %d", name, looked[name], looks)
		}
	}
	if len(changed) > 0 {
		t.Errorf("drift: Flux put back\n%s", strings.Join(changed, "\n"))
	}
	must(t, answers(t.Context()))
}

// owned wants every field of an object, but its status, to be what Flux applied: nobody wrote into the spec.
func owned(t *testing.T, gvk schema.GroupVersionKind, namespace, name string) {
	t.Helper()
	for _, m := range read(t, gvk, namespace, name).GetManagedFields() {
		if m.Subresource == "" && m.Manager != "kustomize-controller" {
			t.Errorf("%s wrote into %s %s: %s", m.Manager, gvk.Kind, name, m.FieldsV1)
		}
	}
}

// waitGone waits until none of the Kustomizations is there.
func waitGone(ctx context.Context, limit time.Duration, names ...string) error {
	for _, name := range names {
		if err := cluster.WaitGone(ctx, limit, kustomization, fluxNamespace, name); err != nil {
			return err
		}
	}
	return nil
}

// clearFlux removes what a test left that did not come to its end: without the controller its finalizers would hold the
// namespace.
func clearFlux(ctx context.Context) error {
	client, err := cluster.Resource(ctx, kustomization, fluxNamespace)
	if err != nil {
		return err
	}
	list, err := client.List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, item := range list.Items {
		_, err := client.Patch(ctx, item.GetName(), types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	if err := cluster.DeleteNamespace(ctx, podLimit, fluxNamespace); err != nil {
		return err
	}
	return clearMesh(ctx)
}

var definition = schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}

// clearMesh removes the mesh, its application and its operator, if they are there.
func clearMesh(ctx context.Context) error {
	_, err := cluster.Get(ctx, definition, "", "meshoperators.operator.meshwright.dev")
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	if err == nil {
		meshes, err := cluster.Resource(ctx, env.MeshOperator, "")
		if err != nil {
			return err
		}
		if err := meshes.Delete(ctx, "mesh", metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
		if err := cluster.WaitNoMesh(ctx, podLimit); err != nil {
			return err
		}
	}
	for _, namespace := range []string{"hello", env.OperatorNamespace} {
		if err := cluster.DeleteNamespace(ctx, podLimit, namespace); err != nil {
			return err
		}
	}
	return nil
}
