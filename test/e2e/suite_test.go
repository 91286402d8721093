// SPDX-License-Identifier: Apache-2.0

//go:build e2e || soak

// Package e2e tests the mesh as its users meet it: the operator, the control
// plane and the real Envoy on a real cluster, with real traffic.
package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/meshwright/meshwright/test/e2e/env"
)

const (
	appSpace   = "e2e-app"
	plainSpace = "e2e-plain"

	installLimit = 5 * time.Minute
	podLimit     = 2 * time.Minute
	changeLimit  = 30 * time.Second
)

// meshManifest is what the tests install: the sample of the demo profile.
var meshManifest = filepath.Join("..", "..", "config", "samples", "meshoperator_demo.yaml")

// operatorChart is the chart that users install the operator with.
var operatorChart = filepath.Join("..", "..", "charts", "operator")

var (
	// keep leaves the application and the mesh in place after a run.
	keep = flag.Bool("keep", false, "leave what the tests installed")
	// reuse takes up what an earlier run with keep left, to try one test quickly.
	reuse = flag.Bool("reuse", false, "use the mesh and the application that an earlier run with -keep left")
)

// cluster is the connection that all tests share.
var cluster *env.Cluster

func TestMain(m *testing.M) {
	flag.Parse()
	// Tests that run side by side wait most of the time, whatever the machine's cores.
	if err := flag.Set("test.parallel", "6"); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(2)
	}
	kubeconfig := os.Getenv("KUBECONFIG")
	if kubeconfig == "" {
		fmt.Fprintln(os.Stderr, "e2e: set KUBECONFIG to a cluster for tests (make e2e starts one)")
		os.Exit(2)
	}
	c, err := env.Connect(kubeconfig)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(2)
	}
	cluster = c
	os.Exit(m.Run())
}

// data reads a file of testdata.
func data(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// must stops the test on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// applied applies a file of testdata to the application's namespace and
// removes its objects when the test ends.
func applied(t *testing.T, name string) {
	t.Helper()
	text := data(t, name)
	must(t, cluster.Apply(t.Context(), appSpace, text))
	t.Cleanup(func() {
		if err := cluster.Delete(context.Background(), appSpace, text); err != nil {
			t.Errorf("clean up %s: %v", name, err)
		}
	})
}

// installed makes sure that the operator and a mesh run, whichever test of the
// suite asks first.
func installed(t *testing.T) {
	t.Helper()
	must(t, ensureMesh(t.Context()))
}

func ensureMesh(ctx context.Context) error {
	manifest, err := os.ReadFile(meshManifest)
	if err != nil {
		return fmt.Errorf("read the sample: %w", err)
	}
	if err := cluster.InstallOperator(ctx, installLimit, operatorChart); err != nil {
		return err
	}
	name, err := cluster.ApplyMesh(ctx, manifest)
	if err != nil {
		return err
	}
	_, err = cluster.WaitMesh(ctx, installLimit, name)
	return err
}

var (
	appOnce sync.Once
	appErr  error
)

// application makes sure that the mesh and the application in it run.
func application(t *testing.T) {
	t.Helper()
	appOnce.Do(func() { appErr = startApplication(t.Context(), data(t, "app.yaml"), data(t, "plain.yaml")) })
	must(t, appErr)
}

func startApplication(ctx context.Context, app, plain []byte) error {
	if *reuse {
		return nil
	}
	if err := ensureMesh(ctx); err != nil {
		return err
	}
	// Pods of an earlier run carry the certificates of an earlier mesh.
	for _, ns := range []string{appSpace, plainSpace} {
		if err := cluster.DeleteNamespace(ctx, podLimit, ns); err != nil {
			return err
		}
	}
	if err := cluster.MakeNamespace(ctx, appSpace, map[string]string{"istio-injection": "enabled"}); err != nil {
		return err
	}
	if err := cluster.MakeNamespace(ctx, plainSpace, nil); err != nil {
		return err
	}
	if err := cluster.Apply(ctx, appSpace, app); err != nil {
		return err
	}
	if err := cluster.Apply(ctx, plainSpace, plain); err != nil {
		return err
	}
	if err := cluster.WaitDeployments(ctx, podLimit, appSpace); err != nil {
		return err
	}
	return cluster.WaitDeployments(ctx, podLimit, plainSpace)
}

// call sends requests from the client's pod inside the mesh.
func call(ctx context.Context, args ...string) (env.Report, error) {
	return cluster.Call(ctx, appSpace, "app=client", "echo", args...)
}

// callPlain sends requests from a pod without a proxy.
func callPlain(ctx context.Context, args ...string) (env.Report, error) {
	return cluster.Call(ctx, plainSpace, "app=plain", "echo", args...)
}

// until repeats a call until the report shows what is waited for.
func until(t *testing.T, what string, shown func(env.Report) error, send func(context.Context, ...string) (env.Report, error), args ...string) env.Report {
	t.Helper()
	var report env.Report
	err := env.Eventually(t.Context(), changeLimit, what, func(ctx context.Context) error {
		var err error
		if report, err = send(ctx, args...); err != nil {
			return err
		}
		return shown(report)
	})
	must(t, err)
	return report
}

// answered wants every request answered with 200.
func answered(r env.Report) error {
	if r.Failed() > 0 {
		return fmt.Errorf("%d failed: %s", r.Failed(), r)
	}
	return nil
}
