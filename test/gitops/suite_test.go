// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package gitops

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/meshwright/meshwright/test/cluster/binary"
	"github.com/meshwright/meshwright/test/e2e/env"
)

const (
	installLimit = 10 * time.Minute
	podLimit     = 3 * time.Minute
	changeLimit  = time.Minute
)

// root is the repository's directory.
var root = filepath.Join("..", "..")

// shipped is the directory of the manifests that docs/gitops.md shows.
var shipped = filepath.Join(root, "config", "gitops")

// cluster is the connection that all tests share; programs holds what they start.
var (
	cluster  *env.Cluster
	programs *binary.Cache
)

func TestMain(m *testing.M) {
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, "gitops:", err)
		os.Exit(2)
	}
	os.Exit(m.Run())
}

func prepare() error {
	kubeconfig := os.Getenv("KUBECONFIG")
	if kubeconfig == "" {
		return fmt.Errorf("set KUBECONFIG to a cluster for tests (make gitops starts one)")
	}
	kubeconfig, err := filepath.Abs(kubeconfig)
	if err != nil {
		return err
	}
	if cluster, err = env.Connect(kubeconfig); err != nil {
		return err
	}
	programs, err = binary.Open(filepath.Join(root, "test", "cluster"), os.Stderr)
	return err
}

// must stops the test on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// read reads an object that has to be there.
func read(t *testing.T, gvk schema.GroupVersionKind, namespace, name string) *unstructured.Unstructured {
	t.Helper()
	u, err := cluster.Get(t.Context(), gvk, namespace, name)
	must(t, err)
	return u
}

// helloHost is the host of config/gitops/apps.
const helloHost = "hello.example.com"

// answers sends one request through the ingress gateway, and only one.
func answers(ctx context.Context) error {
	address, err := cluster.Address(ctx, changeLimit, env.MeshNamespace, env.IngressGateway)
	if err != nil {
		return err
	}
	res := env.Send(ctx, env.Request{URL: "http://" + helloHost + "/", Address: address + ":80", Timeout: 5 * time.Second})
	if res.Err != nil {
		return fmt.Errorf("a request through the ingress gateway: %w", res.Err)
	}
	if res.Code != 200 {
		return fmt.Errorf("a request through the ingress gateway: status %d: %.200s", res.Code, res.Body)
	}
	return nil
}
