// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package gitops

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/meshwright/meshwright/test/e2e/env"
)

const argoNamespace = "argocd"

// comparisons are the ways in which Argo CD compares: what it would apply with what it applied last and what is there,
// by the schema, or by a dry run.
var comparisons = map[string][]string{
	"three ways":       nil,
	"server-side diff": {"--server-side-diff"},
}

// TestArgoCD looks after a mesh with the logic of Argo CD's application controller.
func TestArgoCD(t *testing.T) {
	ctx := t.Context()
	must(t, clearMesh(ctx))
	must(t, cluster.MakeNamespace(ctx, argoNamespace, nil))
	must(t, cluster.ApplyFiles(ctx, "", filepath.Join(shipped, "argocd", "argocd-cm.yaml")))
	t.Cleanup(func() {
		if err := errors.Join(clearMesh(context.Background()), cluster.DeleteNamespace(context.Background(), podLimit, argoNamespace)); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	// Without metrics Argo CD finds autoscalers degraded, whosever they are.
	load := serveMetrics(t)
	files := newRepository(t)
	t.Run("Operator", func(t *testing.T) { testArgoOperator(t, newApplication(t, files, "operator.yaml"), load) })
	t.Run("Charts", func(t *testing.T) { testArgoCharts(t, newApplication(t, files, "charts.yaml"), load) })
}

// steady wants Argo CD to find everything healthy in the end, and in step however it compares.
func (a *application) steady(t *testing.T, options ...string) {
	t.Helper()
	manifests := a.render(t)
	must(t, a.waitHealthy(t.Context(), manifests))
	for name, how := range comparisons {
		s, err := a.ask(t.Context(), manifests, "compare", slices.Concat(how, options)...)
		must(t, err)
		if len(s.Resources) == 0 {
			t.Fatal("the Application has no resources")
		}
		if s.Sync != "Synced" || s.Health != "Healthy" {
			t.Errorf("compared by %s, the Application is %s and %s:\n%s", name, s.Sync, s.Health, s.trouble())
		}
	}
}

// waitHealthy waits until Argo CD says so.
func (a *application) waitHealthy(ctx context.Context, manifests []byte) error {
	return env.Eventually(ctx, installLimit, "the Application healthy", func(ctx context.Context) error {
		s, err := a.ask(ctx, manifests, "compare")
		if err == nil && s.Health != "Healthy" {
			err = fmt.Errorf("it is %s: %s", s.Health, s.trouble())
		}
		return err
	})
}

func testArgoOperator(t *testing.T, a *application, load *load) {
	ctx := t.Context()
	if !bytes.Equal(a.render(t), a.render(t)) {
		t.Fatal("the same sources render differently each time")
	}
	if !t.Run("HealthyWhenTrafficFlows", func(t *testing.T) { testArgoInstall(t, a) }) {
		return
	}
	t.Run("Synced", func(t *testing.T) { a.steady(t) })
	t.Run("SyncedAfterOperatorRestart", func(t *testing.T) {
		restartOperator(t)
		a.steady(t)
	})
	t.Run("SyncedAfterRotation", func(t *testing.T) {
		rotate(t)
		a.steady(t)
	})
	t.Run("SyncedAfterScaling", func(t *testing.T) {
		load.scale(t)
		a.steady(t)
	})
	t.Run("SyncedByServerSideApply", func(t *testing.T) {
		_, err := a.ask(ctx, a.render(t), "sync", "--server-side-apply")
		must(t, err)
		a.steady(t, "--server-side-apply")
	})
	t.Run("DegradedWhenStalled", func(t *testing.T) { testArgoStalled(t, a) })
	t.Run("PrunedFromTheMesh", func(t *testing.T) {
		a.sources = a.sources[:1]
		_, err := a.ask(ctx, a.render(t), "sync")
		must(t, err)
		must(t, cluster.WaitNoMesh(ctx, podLimit))
		must(t, env.Eventually(ctx, podLimit, "nothing left of the mesh", nothingLeft))
		a.steady(t)
	})
}

// testArgoInstall synchronises and watches meanwhile: the mesh makes progress, and the first request after it is
// healthy is answered.
func testArgoInstall(t *testing.T, a *application) {
	ctx := t.Context()
	manifests := a.render(t)
	done := make(chan error, 1)
	go func() {
		_, err := a.ask(ctx, manifests, "sync")
		done <- err
	}()
	seen := map[string]bool{}
	for synced := false; !synced; {
		select {
		case err := <-done:
			must(t, err)
			synced = true
		default:
			// What is not there yet has no health, and kinds may just be made.
			if s, err := a.ask(ctx, manifests, "compare"); err == nil {
				seen[s.of("MeshOperator").Health] = true
			}
		}
	}
	must(t, a.waitHealthy(ctx, manifests))
	must(t, answers(ctx))
	if !seen["Progressing"] || seen["Degraded"] {
		t.Errorf("while it was installed the MeshOperator was %v, want Progressing and not Degraded", seen)
	}
	pod, err := cluster.PodOf(ctx, "hello", "app=hello")
	must(t, err)
	if _, ok := env.Sidecar(pod); !ok {
		t.Error("the application's pod was made before proxies could be put into it")
	}
}

// testArgoStalled: a mistake in the repository is told, and mended by the next commit.
func testArgoStalled(t *testing.T, a *application) {
	ctx := t.Context()
	file := filepath.Join(a.files.dir, meshFile)
	good, err := os.ReadFile(file)
	must(t, err)
	must(t, os.WriteFile(file, []byte(strings.Replace(string(good), "profile: default", "profile: nonesuch", 1)), 0o644))
	// A wave that is degraded ends the synchronisation, so what it says is of no interest here.
	_, _ = a.ask(ctx, a.render(t), "sync")
	must(t, env.Eventually(ctx, changeLimit, "the Application degraded", func(ctx context.Context) error {
		s, err := a.ask(ctx, a.render(t), "compare")
		if r := s.of("MeshOperator"); err == nil && (s.Health != "Degraded" || !strings.Contains(r.Message, "nonesuch")) {
			err = fmt.Errorf("it is %s, the MeshOperator %s: %s", s.Health, r.Health, r.Message)
		}
		return err
	}))
	must(t, answers(ctx))
	must(t, os.WriteFile(file, good, 0o644))
	_, err = a.ask(ctx, a.render(t), "sync")
	must(t, err)
	must(t, a.waitHealthy(ctx, a.render(t)))
}

// testArgoCharts: a mesh without an operator. The control plane writes its root into the webhooks, autoscalers write
// replicas, and Argo CD neither sees a difference nor takes anything back.
func testArgoCharts(t *testing.T, a *application, load *load) {
	ctx := t.Context()
	must(t, clearMesh(ctx))
	if !bytes.Equal(a.render(t), a.render(t)) {
		t.Fatal("the same charts render differently each time")
	}
	_, err := a.ask(ctx, a.render(t), "sync")
	must(t, err)
	must(t, a.waitHealthy(ctx, a.render(t)))
	before := caBundles(t)
	t.Run("Synced", func(t *testing.T) { a.steady(t) })
	t.Run("SyncedAfterScaling", func(t *testing.T) {
		load.scale(t)
		a.steady(t)
	})
	t.Run("SyncTakesNothingBack", func(t *testing.T) {
		_, err := a.ask(ctx, a.render(t), "sync")
		must(t, err)
		if !bytes.Equal(before, caBundles(t)) {
			t.Error("the webhooks' caBundle changed although nothing else did")
		}
		load.held(t)
		a.steady(t)
	})
	t.Run("SyncedAfterRotation", func(t *testing.T) {
		rotateRoot(t)
		a.steady(t)
	})
	t.Run("Pruned", func(t *testing.T) {
		a.sources = a.sources[:1]
		_, err := a.ask(ctx, a.render(t), "sync")
		must(t, err)
		must(t, env.Eventually(ctx, podLimit, "nothing left of the mesh", nothingLeft))
		a.steady(t)
	})
}
