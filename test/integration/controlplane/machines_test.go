// SPDX-License-Identifier: Apache-2.0

//go:build integration

package controlplane_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/meshwright/meshwright/hack/envoy"
	"github.com/meshwright/meshwright/test/port"
)

const machineGroup = `
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: details, namespace: machines}
spec:
  metadata: {labels: {app: details}}
  template: {serviceAccount: details, ports: {http: 9080}}
  probe: {httpGet: {host: 127.0.0.1, port: PORT, path: /health}, periodSeconds: 1, failureThreshold: 2}
`

// runMachine runs the agent and a real Envoy as a machine does. The function that it returns ends them.
func runMachine(t *testing.T, agent, file, discovery string) (stop func()) {
	t.Helper()
	binary, err := envoy.Path("")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	settings, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	settings = bytes.Replace(settings, []byte(serverName+":15012"), []byte(discovery), 1)
	for name, text := range map[string][]byte{
		"machine.yaml": settings, "token": []byte(token(t, "machines", "details", "istio-ca")), "root.pem": rootPEM(t),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	log := &lockedBuffer{}
	command := exec.Command(agent, "machine", "--config", filepath.Join(dir, "machine.yaml"), "--address", "192.0.2.1",
		"--token-file", filepath.Join(dir, "token"), "--root-file", filepath.Join(dir, "root.pem"), "--state-dir", filepath.Join(dir, "state"),
		"--envoy", binary, "--admin-address", port.Address(t), "--status-address", port.Address(t), "--readiness-address", port.Address(t),
		"--drain-duration", "1s", "--concurrency", "1")
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	stop = func() {
		if ended {
			return
		}
		ended = true
		_ = command.Process.Signal(syscall.SIGTERM)
		_ = command.Wait()
	}
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Logf("log of the agent:\n%s", tail(log.String(), 6000))
		}
	})
	return stop
}

// machineEntry is the entry of the machine.
func machineEntry(t *testing.T) (*unstructured.Unstructured, error) {
	found := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry"}}
	return found, admin.Get(t.Context(), client.ObjectKey{Namespace: "machines", Name: "details-192.0.2.1"}, found)
}

func hasHealth(t *testing.T, want string) func() error {
	return func() error {
		found, err := machineEntry(t)
		if err != nil {
			return err
		}
		conditions, _, _ := unstructured.NestedSlice(found.Object, "status", "conditions")
		for _, c := range conditions {
			if c := c.(map[string]any); c["type"] == "Healthy" && c["status"] == want {
				return nil
			}
		}
		return fmt.Errorf("conditions %v", conditions)
	}
}

// TestMachine: a machine that connects is registered, is called while it is healthy, goes to another replica with its
// entry, and is gone when it has left.
func TestMachine(t *testing.T) {
	agent := filepath.Join(t.TempDir(), "agent")
	if out, err := exec.Command("go", "build", "-o", agent, "github.com/meshwright/meshwright/cmd/agent").CombinedOutput(); err != nil {
		t.Fatalf("build the agent: %v\n%s", err, out)
	}
	makeNamespace(t, "machines", nil)
	// The application, which is not healthy at first.
	var healthy atomic.Bool
	app, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !healthy.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})}
	go func() { _ = server.Serve(app) }()
	defer server.Close()
	_, port, _ := net.SplitHostPort(app.Addr().String())
	manifest := strings.Replace(machineGroup, "PORT", port, 1)

	// Two replicas, in pods of which nothing but the names exist.
	replicas := make([]*replica, 2)
	for i, name := range []string{"replica-a", "replica-b"} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
		pod.Spec.ServiceAccountName = "meshwright"
		if _, err := typed.CoreV1().Pods(namespace).Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		t.Setenv("POD_NAME", name)
		replicas[i] = start(t)
	}
	group := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(manifest), &group.Object); err != nil {
		t.Fatal(err)
	}
	if err := admin.Create(t.Context(), group); err != nil {
		t.Fatal(err)
	}
	generate := exec.Command(binary, "machine-file")
	generate.Stdin = strings.NewReader(manifest)
	text, err := generate.Output()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "machine.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	local := func(r *replica) string { _, p, _ := net.SplitHostPort(r.xds); return "localhost:" + p }

	stop := runMachine(t, agent, file, local(replicas[0]))
	eventually(t, "registered", func() error { _, err := machineEntry(t); return err })
	eventually(t, "not healthy", hasHealth(t, "False"))
	healthy.Store(true)
	eventually(t, "healthy", hasHealth(t, "True"))
	found, err := machineEntry(t)
	if err != nil {
		t.Fatal(err)
	}
	if owners := found.GetOwnerReferences(); len(owners) != 1 || owners[0].Kind != "WorkloadGroup" {
		t.Errorf("owners %v", owners)
	}
	uid := found.GetUID()

	// The machine goes to the other replica within the grace.
	stop()
	stop = runMachine(t, agent, file, local(replicas[1]))
	eventually(t, "taken over", func() error {
		found, err := machineEntry(t)
		if err != nil {
			return err
		}
		if !strings.HasPrefix(found.GetAnnotations()["istio.io/workloadController"], "replica-b/") || found.GetAnnotations()["istio.io/disconnectedAt"] != "" {
			return fmt.Errorf("annotations %v", found.GetAnnotations())
		}
		if found.GetUID() != uid {
			t.Error("the entry was made anew")
		}
		return nil
	})
	healthy.Store(false)
	eventually(t, "not healthy again", hasHealth(t, "False"))

	stop()
	gone := time.Now()
	within(t, time.Minute, "gone", func() error {
		_, err := machineEntry(t)
		if err == nil {
			return errors.New("it is still there")
		}
		if !apierrors.IsNotFound(err) {
			return err
		}
		return nil
	})
	t.Logf("the entry went %s after the machine", time.Since(gone).Round(time.Second))
}
