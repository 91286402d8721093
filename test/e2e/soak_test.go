// SPDX-License-Identifier: Apache-2.0

//go:build soak

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/meshwright/meshwright/test/e2e/env"
)

// TestSoak sends 100 requests per second for the time of the variable SOAK
// while the backend is scaled and rolled out and the control plane restarted,
// in random order; no request may fail. The seed is logged.
func TestSoak(t *testing.T) {
	duration, err := time.ParseDuration(os.Getenv("SOAK"))
	if err != nil {
		t.Fatalf("SOAK is %q, want a duration such as 30m", os.Getenv("SOAK"))
	}
	application(t)
	t.Cleanup(func() {
		if *keep {
			return
		}
		for _, ns := range []string{appSpace, plainSpace} {
			if err := cluster.DeleteNamespace(context.Background(), podLimit, ns); err != nil {
				t.Errorf("clean up: %v", err)
			}
		}
	})
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	disturbances := []struct {
		name string
		run  func(context.Context) error
	}{
		{"scale to 1", func(ctx context.Context) error { return cluster.Scale(ctx, appSpace, "backend", 1) }},
		{"scale to 3", func(ctx context.Context) error { return cluster.Scale(ctx, appSpace, "backend", 3) }},
		{"scale to 5", func(ctx context.Context) error { return cluster.Scale(ctx, appSpace, "backend", 5) }},
		{"rollout", func(ctx context.Context) error { return cluster.Restart(ctx, appSpace, "backend") }},
		{"control plane restart", func(ctx context.Context) error { return cluster.Restart(ctx, env.MeshNamespace, env.ControlPlane) }},
		{"control plane killed", func(ctx context.Context) error {
			_, err := cluster.KillPods(ctx, env.MeshNamespace, "app=meshwright")
			return err
		}},
	}
	const round = time.Minute
	failed, total := 0, 0
	for end := time.Now().Add(duration); time.Now().Before(end); {
		d := disturbances[random.IntN(len(disturbances))]
		ctx, cancel := context.WithTimeout(t.Context(), 3*round)
		done := make(chan error, 1)
		var r env.Report
		go func() {
			var err error
			r, err = cluster.Call(ctx, appSpace, "app=client", "echo", "http://backend:8080", "--rps=100", "--count=0",
				"--duration="+round.String(), "--concurrency=32")
			done <- err
		}()
		time.Sleep(3 * time.Second)
		must(t, d.run(ctx))
		must(t, cluster.WaitDeployments(ctx, podLimit, appSpace, "backend"))
		must(t, cluster.WaitDeployments(ctx, podLimit, env.MeshNamespace, env.ControlPlane))
		must(t, <-done)
		cancel()
		failed, total = failed+r.Failed(), total+r.Requests
		t.Logf("%s: %s", d.name, r)
	}
	fmt.Printf("soak: %d of %d requests failed in %s\n", failed, total, duration)
	if failed > 0 || total == 0 {
		t.Errorf("%d of %d requests failed", failed, total)
	}
}
