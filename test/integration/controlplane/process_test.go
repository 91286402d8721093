// SPDX-License-Identifier: Apache-2.0

//go:build integration

// Package controlplane_test runs the control plane's binary against a real API server, with no more rights than the
// chart gives to its service account.
package controlplane_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshwright/meshwright/charts"
	"github.com/meshwright/meshwright/internal/helm"
	"github.com/meshwright/meshwright/test/integration/apiserver"
	"github.com/meshwright/meshwright/test/port"
)

const (
	namespace  = "istio-system"
	serverName = "meshwright.istio-system.svc"
	patience   = 30 * time.Second
)

var (
	server *apiserver.Server
	admin  client.Client
	typed  *kubernetes.Clientset
	binary string
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, "set up:", err)
		return 1
	}
	dir, err := os.MkdirTemp("", "controlplane")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "controlplane")
	build := exec.Command("go", "build", "-o", binary, "github.com/meshwright/meshwright/cmd/controlplane")
	if out, err := build.CombinedOutput(); err != nil {
		return fail(fmt.Errorf("build the control plane: %w\n%s", err, out))
	}
	if server, err = apiserver.Start(apiserver.Options{CRDs: []string{"../../../charts/base/files/crds"}}); err != nil {
		return fail(err)
	}
	defer func() {
		if err := server.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
	if admin, err = client.New(server.Config, client.Options{}); err != nil {
		return fail(err)
	}
	if typed, err = kubernetes.NewForConfig(server.Config); err != nil {
		return fail(err)
	}
	ns := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": namespace}}}
	if err := admin.Create(context.Background(), ns); err != nil {
		return fail(err)
	}
	if err := installChart("default"); err != nil {
		return fail(err)
	}
	return m.Run()
}

// renderChart renders the chart of the control plane.
func renderChart(values map[string]any) ([]*unstructured.Unstructured, error) {
	loaded, err := helm.Load(charts.Files)
	if err != nil {
		return nil, err
	}
	return loaded.Render(helm.Release{Chart: "controlplane", Name: "meshwright", Namespace: namespace, Values: values}, "v1.36.3")
}

// installChart creates what the chart renders for a revision but the workload: rights, webhook configurations, the service
// account.
func installChart(revision string) error {
	ctx := context.Background()
	objects, err := renderChart(map[string]any{"revision": revision})
	if err != nil {
		return err
	}
	for _, o := range objects {
		switch o.GetKind() {
		case "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration":
			if err := admin.Create(ctx, o); err != nil {
				return fmt.Errorf("create %s %s: %w", o.GetKind(), o.GetName(), err)
			}
		}
	}
	return nil
}

// replica is one running control plane.
type replica struct {
	command                  *exec.Cmd
	name                     string // of its service account and Service
	xds, webhook, monitoring string
	log                      *lockedBuffer
	ended                    chan error
}

// lockedBuffer is written by the process and read by the test.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// start runs a replica as the chart's service account, and waits until it is ready. It ends with the test.
func start(t *testing.T, flags ...string) *replica {
	t.Helper()
	return startAs(t, "meshwright", flags...)
}

// startAs runs a replica as a service account of the control plane's namespace.
func startAs(t *testing.T, account string, flags ...string) *replica {
	t.Helper()
	_, kubeconfig, err := server.User("system:serviceaccount:"+namespace+":"+account, "system:serviceaccounts", "system:serviceaccounts:"+namespace, "system:authenticated")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, kubeconfig, 0o600); err != nil {
		t.Fatal(err)
	}
	r := &replica{name: account, xds: port.Address(t), webhook: port.Address(t), monitoring: port.Address(t), log: &lockedBuffer{}, ended: make(chan error, 1)}
	r.command = exec.Command(binary, append([]string{
		"--kubeconfig=" + file, "--namespace=" + namespace, "--xds-address=" + r.xds, "--webhook-address=" + r.webhook,
		"--monitoring-address=" + r.monitoring, "--proxy-image=registry.example/proxy:v1", "--log-level=debug", "--shutdown-grace=2s",
	}, flags...)...)
	r.command.Stderr = r.log
	if err := r.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { r.ended <- r.command.Wait() }()
	t.Cleanup(func() {
		r.stop(t)
		if t.Failed() {
			t.Logf("log of the replica:\n%s", tail(r.log.String(), 6000))
		}
	})
	eventually(t, "ready", func() error {
		code, text, err := r.get(t, "https://"+r.webhook+"/readyz?verbose", "")
		if err != nil || code != http.StatusOK {
			return fmt.Errorf("%d %s %w", code, text, err)
		}
		return nil
	})
	return r
}

// stop asks the process to end and checks that it does so in order.
func (r *replica) stop(t *testing.T) {
	t.Helper()
	if r.ended == nil {
		return
	}
	_ = r.command.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-r.ended:
		if err != nil {
			t.Errorf("the replica ended with %v", err)
		}
	case <-time.After(patience):
		_ = r.command.Process.Kill()
		t.Errorf("the replica did not end within %s of SIGTERM", patience)
	}
	r.ended = nil
	// The chart's rights must be enough for everything that the process does.
	for line := range strings.SplitSeq(r.log.String(), "\n") {
		if strings.Contains(line, "forbidden") || strings.Contains(line, "panic") {
			t.Errorf("the replica says: %s", line)
		}
	}
}

// roots is what the cluster distributes, nil until there is any.
func roots(t *testing.T) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	secret := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Secret"}}
	if err := admin.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "meshwright-ca"}, secret); err != nil {
		return pool
	}
	pool.AppendCertsFromPEM(rootPEM(t))
	return pool
}

// get calls an HTTPS address of the replica, its certificate checked by the Service's name.
func (r *replica) get(t *testing.T, url, token string) (int, string, error) {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	c := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots(t), ServerName: r.name + "." + namespace + ".svc"},
	}}
	response, err := c.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	within(t, patience, what, check)
}

func within(t *testing.T, limit time.Duration, what string, check func() error) {
	t.Helper()
	begin := time.Now()
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Since(begin) > limit {
			t.Fatalf("%s: not within %s: %v", what, limit, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func tail(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return "..." + text[strings.IndexByte(text[len(text)-n:], '\n')+len(text)-n:]
}
