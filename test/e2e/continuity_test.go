// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/meshwright/meshwright/test/e2e/env"
)

const (
	backendURL  = "http://backend:8080"
	loadRate    = 100
	leadTime    = 3 * time.Second // load before the disturbance
	settleTime  = 5 * time.Second // and after it
	loadMaximum = 3 * time.Minute // in case a disturbance hangs
)

// underLoad sends 100 requests per second of HTTP/1.1 to the backend, through
// the proxies of client and server, while disturb runs; none may fail.
func underLoad(t *testing.T, duration time.Duration, disturb func(context.Context) error) {
	t.Helper()
	until(t, "the backend", answered, call, backendURL, "--count=20")
	type outcome struct {
		report env.Report
		err    error
	}
	done := make(chan outcome, 1)
	ctx, cancel := context.WithTimeout(t.Context(), loadMaximum)
	defer cancel()
	go func() {
		r, err := call(ctx, backendURL, fmt.Sprintf("--rps=%d", loadRate), "--count=0", "--duration="+duration.String(), "--concurrency=32")
		done <- outcome{r, err}
	}()
	time.Sleep(leadTime)
	start := time.Now()
	if err := disturb(ctx); err != nil {
		t.Errorf("the disturbance: %v", err)
	}
	if took := time.Since(start); took > duration-leadTime-settleTime {
		t.Errorf("the disturbance took %s, too long for a load of %s", took, duration)
	}
	o := <-done
	must(t, o.err)
	t.Logf("%s", o.report)
	if o.report.Failed() > 0 {
		t.Errorf("%d of %d requests failed", o.report.Failed(), o.report.Requests)
	}
	if want := int(duration.Seconds() * loadRate * 0.8); o.report.Requests < want {
		t.Errorf("%d requests in %s, want at least %d: the load was not what it should be", o.report.Requests, duration, want)
	}
}

func testScaleUnderLoad(t *testing.T) {
	application(t)
	underLoad(t, 60*time.Second, func(ctx context.Context) error {
		for _, n := range []int32{1, 3} {
			if err := cluster.Scale(ctx, appSpace, "backend", n); err != nil {
				return err
			}
			if err := cluster.WaitDeployments(ctx, podLimit, appSpace, "backend"); err != nil {
				return err
			}
			time.Sleep(settleTime)
		}
		return nil
	})
}

func testRolloutUnderLoad(t *testing.T) {
	application(t)
	underLoad(t, 75*time.Second, func(ctx context.Context) error {
		if err := cluster.Restart(ctx, appSpace, "backend"); err != nil {
			return err
		}
		return cluster.WaitDeployments(ctx, podLimit, appSpace, "backend")
	})
}

// The control plane is restarted in order, then killed; traffic does not
// notice, and a change made meanwhile arrives when it is back.
func testControlPlaneRestart(t *testing.T) {
	application(t)
	applied(t, "subsets.yaml")
	underLoad(t, 75*time.Second, func(ctx context.Context) error {
		if err := cluster.Restart(ctx, env.MeshNamespace, env.ControlPlane); err != nil {
			return err
		}
		if err := cluster.WaitDeployments(ctx, podLimit, env.MeshNamespace, env.ControlPlane); err != nil {
			return err
		}
		killed, err := cluster.KillPods(ctx, env.MeshNamespace, "app=meshwright")
		if err == nil && killed == 0 {
			err = fmt.Errorf("no pod of the control plane found")
		}
		if err != nil {
			return err
		}
		return cluster.WaitDeployments(ctx, podLimit, env.MeshNamespace, env.ControlPlane)
	})
	// The validating webhook needs a moment to answer again.
	must(t, env.Eventually(t.Context(), changeLimit, "the webhook answers", func(ctx context.Context) error {
		return cluster.Apply(ctx, appSpace, data(t, "header.yaml"))
	}))
	applied(t, "header.yaml")
	until(t, "a route made after the restart", only("v2"), call, echoURL, "--count=20", "--header=end-user:jason")
}
