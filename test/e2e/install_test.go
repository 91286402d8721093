// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"github.com/meshwright/meshwright/test/e2e/env"
)

const operatorSelector = "app.kubernetes.io/name=meshwright-operator"

// removeMeshes deletes every MeshOperator and waits until they have gone.
func removeMeshes(ctx context.Context) error {
	r, err := cluster.Resource(ctx, env.MeshOperator, "")
	if err != nil {
		return err
	}
	list, err := r.List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list the MeshOperators: %w", err)
	}
	for _, item := range list.Items {
		if err := r.Delete(ctx, item.GetName(), metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete MeshOperator %s: %w", item.GetName(), err)
		}
	}
	for _, item := range list.Items {
		if err := cluster.WaitGone(ctx, installLimit, env.MeshOperator, "", item.GetName()); err != nil {
			return err
		}
	}
	return cluster.WaitNoMesh(ctx, installLimit)
}

// The operator is killed again and again while it installs; the last one that
// lives finishes the work.
func testInstallSurvivesKilledOperator(t *testing.T) {
	ctx := t.Context()
	must(t, cluster.InstallOperator(ctx, installLimit, operatorChart))
	must(t, removeMeshes(ctx))
	manifest, err := os.ReadFile(meshManifest)
	must(t, err)
	name, err := cluster.ApplyMesh(ctx, manifest)
	must(t, err)
	kills := 0
	for _, life := range []time.Duration{500 * time.Millisecond, 2 * time.Second, 4 * time.Second, 20 * time.Second, 22 * time.Second} {
		time.Sleep(life)
		u, err := cluster.Get(ctx, env.MeshOperator, "", name)
		must(t, err)
		if c, ok := env.ConditionOf(u, "Ready"); ok && c.Current && c.Status == "True" {
			break
		}
		n, err := cluster.KillPods(ctx, env.OperatorNamespace, operatorSelector)
		must(t, err)
		kills += n
	}
	if kills < 2 {
		t.Errorf("the operator was killed %d times before the mesh was ready, want at least 2", kills)
	}
	start := time.Now()
	c, err := cluster.WaitMesh(ctx, installLimit, name)
	must(t, err)
	t.Logf("ready %.0f s after the last of %d kills: %s", time.Since(start).Seconds(), kills, c.Message)
	must(t, cluster.WaitDeployments(ctx, podLimit, env.MeshNamespace, env.ControlPlane, env.IngressGateway, env.EgressGateway))
	// The kstatus convention: these two are only there while they are true.
	must(t, env.Eventually(ctx, changeLimit, "no condition of trouble", func(ctx context.Context) error {
		u, err := cluster.Get(ctx, env.MeshOperator, "", name)
		if err != nil {
			return err
		}
		for _, kind := range []string{"Reconciling", "Stalled"} {
			if c, ok := env.ConditionOf(u, kind); ok && c.Status != "False" {
				return fmt.Errorf("%s is %s: %s", kind, c.Status, c.Message)
			}
		}
		return nil
	}))
}

// stalls applies a MeshOperator that cannot be carried out, wants Stalled with
// the reason and the offending word, and the mesh beside it untouched.
func stalls(t *testing.T, field, value, reason string) {
	t.Helper()
	installed(t)
	text := []byte("apiVersion: operator.meshwright.dev/v1alpha1\nkind: MeshOperator\nmetadata:\n  name: e2e-stalled\n" +
		"spec:\n  revision: e2e-stalled\n  " + field + ": " + value + "\n")
	must(t, cluster.Apply(t.Context(), "", text))
	t.Cleanup(func() {
		ctx := context.Background()
		if err := cluster.Delete(ctx, "", text); err != nil {
			t.Errorf("clean up: %v", err)
		}
		if err := cluster.WaitGone(ctx, changeLimit, env.MeshOperator, "", "e2e-stalled"); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	c, err := cluster.WaitCondition(t.Context(), changeLimit, env.MeshOperator, "", "e2e-stalled", "Stalled", "True")
	must(t, err)
	if c.Reason != reason || !strings.Contains(c.Message, value) {
		t.Errorf("Stalled with %s: %q; want %s and the word %s", c.Reason, c.Message, reason, value)
	}
	must(t, cluster.WaitDeployments(t.Context(), changeLimit, env.MeshNamespace, env.ControlPlane, env.IngressGateway))
}

func testUnknownProfileStalls(t *testing.T) { stalls(t, "profile", "nonesuch", "UnknownProfile") }

func testUnknownVersionStalls(t *testing.T) { stalls(t, "version", "v99.9.9", "UnknownVersion") }

// What somebody changes or deletes of what the operator owns comes back.
func testDriftIsPutBack(t *testing.T) {
	installed(t)
	ctx := t.Context()
	services := cluster.Kube.CoreV1().Services(env.MeshNamespace)
	deployments := cluster.Kube.AppsV1().Deployments(env.MeshNamespace)
	before, err := services.Get(ctx, env.EgressGateway, metav1.GetOptions{})
	must(t, err)
	must(t, retry.RetryOnConflict(retry.DefaultRetry, func() error {
		s, err := services.Get(ctx, env.EgressGateway, metav1.GetOptions{})
		if err != nil {
			return err
		}
		s.Spec.Selector["app"] = "somebody-else"
		_, err = services.Update(ctx, s, metav1.UpdateOptions{FieldManager: "somebody"})
		return err
	}))
	var old *appsv1.Deployment
	old, err = deployments.Get(ctx, env.EgressGateway, metav1.GetOptions{})
	must(t, err)
	must(t, deployments.Delete(ctx, env.EgressGateway, metav1.DeleteOptions{}))
	must(t, cluster.Kube.CoreV1().ConfigMaps(env.MeshNamespace).Delete(ctx, env.ControlPlane, metav1.DeleteOptions{}))
	start := time.Now()
	must(t, env.Eventually(ctx, changeLimit, "the drift put back", func(ctx context.Context) error {
		s, err := services.Get(ctx, env.EgressGateway, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if got, want := s.Spec.Selector["app"], before.Spec.Selector["app"]; got != want {
			return fmt.Errorf("the selector's app is %q, want %q", got, want)
		}
		d, err := deployments.Get(ctx, env.EgressGateway, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if d.UID == old.UID {
			return fmt.Errorf("the deleted Deployment is still on its way out")
		}
		_, err = cluster.Kube.CoreV1().ConfigMaps(env.MeshNamespace).Get(ctx, env.ControlPlane, metav1.GetOptions{})
		return err
	}))
	t.Logf("put back after %.1f s", time.Since(start).Seconds())
	must(t, cluster.WaitDeployments(ctx, podLimit, env.MeshNamespace, env.EgressGateway))
}
