// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/meshwright/meshwright/test/e2e/env"
)

// outage is how long the API server stays away.
const outage = time.Minute

// localServer finds the process of the API server of a local cluster, from the
// record beside its kubeconfig.
func localServer() (pid int, name string, err error) {
	path, err := filepath.Abs(cluster.Kubeconfig)
	if err != nil {
		return 0, "", err
	}
	dir := filepath.Dir(path)
	text, err := os.ReadFile(filepath.Join(dir, "run", "kube-apiserver.pid"))
	if err != nil {
		return 0, "", err
	}
	var record struct {
		PID int `json:"pid"`
	}
	if err := json.Unmarshal(text, &record); err != nil || record.PID <= 1 {
		return 0, "", fmt.Errorf("the record %s tells no process (%w)", text, err)
	}
	return record.PID, filepath.Base(dir), nil
}

// The API server is away for a minute, and the node's pods count as not ready
// for a while after. Nothing is withdrawn from any proxy: every request from
// outside that a proxy gets is answered. A change made after it came back arrives.
func testAPIServerAway(t *testing.T) {
	application(t)
	pid, name, err := localServer()
	must(t, err)
	applied(t, "gateway.yaml")
	address, err := cluster.Address(t.Context(), changeLimit, env.MeshNamespace, env.IngressGateway)
	must(t, err)
	request := env.Request{URL: "http://" + plainHost + "/", Address: address + ":80", RPS: 20, Concurrency: 8}
	sendTo(t, request, ok)

	ctx, stop := context.WithCancel(t.Context())
	done := make(chan []env.Result, 1)
	go func() { done <- env.Load(ctx, request) }()
	must(t, syscall.Kill(pid, syscall.SIGKILL))
	time.Sleep(outage)
	up := exec.Command("go", "run", "./test/cluster", "up", name)
	up.Dir = filepath.Join("..", "..")
	if out, err := up.CombinedOutput(); err != nil {
		t.Errorf("bring the API server back: %v: %s", err, out)
	}
	// A node that was silent for so long counts as lost for a while, and its
	// pods as not ready: that withdraws nothing either.
	must(t, cluster.WaitDeployments(t.Context(), podLimit, appSpace))
	time.Sleep(settleTime)
	stop()
	results := <-done
	// While Kubernetes calls the gateway's only pod not ready, its Service refuses new connections: those never came to the mesh.
	arrived := slices.DeleteFunc(slices.Clone(results), func(r env.Result) bool { return errors.Is(r.Err, syscall.ECONNREFUSED) })
	r := env.Summary(arrived, nil)
	t.Logf("%s; the gateway's Service refused %d connections", r, len(results)-len(arrived))
	if r.Failed() > 0 {
		t.Errorf("%d of %d requests failed", r.Failed(), r.Requests)
	}
	if want := int(outage.Seconds() * 20 * 0.8); r.Requests < want {
		t.Errorf("%d requests, want at least %d", r.Requests, want)
	}
	must(t, env.Eventually(t.Context(), podLimit, "the API server and the webhook answer", func(ctx context.Context) error {
		return cluster.Apply(ctx, appSpace, data(t, "subsets.yaml"))
	}))
	applied(t, "subsets.yaml")
	applied(t, "header.yaml")
	// Kubernetes may call the client's pod not ready for a while yet, and then nothing can be run in it.
	must(t, env.Eventually(t.Context(), podLimit, "a route made after the outage", func(ctx context.Context) error {
		report, err := call(ctx, echoURL, "--count=20", "--header=end-user:jason")
		if err != nil {
			return err
		}
		return only("v2")(report)
	}))
}
