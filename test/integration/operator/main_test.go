// SPDX-License-Identifier: Apache-2.0

//go:build integration

package operator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/test/integration/apiserver"
)

// world is what all tests of this package share.
var world struct {
	server *apiserver.Server
	admin  client.Client
	// kubeconfig is the operator's own, with the rights of config/rbac.
	kubeconfig string
	// adminKubeconfig is for programs that want a file.
	adminKubeconfig string
	binary          string
}

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	server, err := apiserver.Start(apiserver.Options{CRDs: []string{"../../../config/crd/bases"}})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	world.server = server
	dir, err := os.MkdirTemp("", "operator")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	world.binary = filepath.Join(dir, "operator")
	build := exec.Command("go", "build", "-o", world.binary, "../../../cmd/operator")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return 0, fmt.Errorf("build the operator: %w", err)
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return 0, err
		}
	}
	if world.admin, err = client.New(server.Config, client.Options{Scheme: scheme}); err != nil {
		return 0, err
	}
	world.adminKubeconfig = filepath.Join(dir, "admin")
	if err := os.WriteFile(world.adminKubeconfig, server.Kubeconfig, 0o600); err != nil {
		return 0, err
	}
	if err := grant(context.Background()); err != nil {
		return 0, err
	}
	_, kubeconfig, err := server.User("system:serviceaccount:meshwright-system:meshwright-operator", "system:serviceaccounts")
	if err != nil {
		return 0, err
	}
	world.kubeconfig = filepath.Join(dir, "kubeconfig")
	if err := os.WriteFile(world.kubeconfig, kubeconfig, 0o600); err != nil {
		return 0, err
	}
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() { defer close(done); cluster(stop) }()
	defer func() { close(stop); <-done }()
	return m.Run(), nil
}

// grant applies what kubectl apply -k config/default gives the operator.
func grant(ctx context.Context) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "meshwright-system"}}
	if err := world.admin.Create(ctx, namespace); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	data, err := os.ReadFile("../../../config/rbac/rbac.yaml")
	if err != nil {
		return err
	}
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(object); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if len(object.Object) == 0 {
			continue
		}
		if err := world.admin.Create(ctx, object); err != nil {
			return fmt.Errorf("create %s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
}

// process is a running operator.
type process struct {
	cmd  *exec.Cmd
	done chan error
}

// start runs the operator's binary. It ends with the test.
func start(t *testing.T) *process {
	t.Helper()
	return launch(t, exec.Command(world.binary, "--kubeconfig="+world.kubeconfig, "--leader-elect=false",
		"--metrics-address=0", "--probe-address=0", "--log-level=debug", "--self-checks=false"))
}

// launch starts an operator and shows its log when the test fails.
func launch(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	name := filepath.Join(t.TempDir(), "log")
	log, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd, done: make(chan error, 1)}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- p.cmd.Wait() }()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			data, _ := os.ReadFile(name)
			t.Logf("log of the operator:\n%s", tail(data, 12000))
		}
	})
	return p
}

// kill ends the operator at once, as a lost node would.
func (p *process) kill() {
	if p.cmd.ProcessState != nil {
		return
	}
	_ = p.cmd.Process.Kill()
	select {
	case err := <-p.done:
		p.done <- err
	case <-time.After(10 * time.Second):
	}
}

func tail(data []byte, most int) []byte {
	if len(data) > most {
		return data[len(data)-most:]
	}
	return data
}
