// SPDX-License-Identifier: Apache-2.0

//go:build integration

package meshctl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/cli"
	"github.com/meshwright/meshwright/test/integration/apiserver"
)

// world is what all tests of this package share.
var world struct {
	server     *apiserver.Server
	admin      client.Client
	kubeconfig string
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
	server, err := apiserver.Start(apiserver.Options{})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	world.server = server
	dir, err := os.MkdirTemp("", "meshctl")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	world.kubeconfig = filepath.Join(dir, "admin")
	if err := os.WriteFile(world.kubeconfig, server.Kubeconfig, 0o600); err != nil {
		return 0, err
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
	return m.Run(), nil
}

// result is how a command ended.
type result struct {
	code      int
	out, errs string
}

// String is for messages of tests.
func (r result) String() string {
	return fmt.Sprintf("code %d\noutput:\n%s\nerrors:\n%s", r.code, r.out, r.errs)
}

// meshctl runs a command as an administrator, or as whom --as says.
func meshctl(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	code := cli.Run(ctx, append([]string{"--kubeconfig", world.kubeconfig}, args...), cli.Streams{In: strings.NewReader(stdin), Out: &out, Err: &errs})
	return result{code: code, out: out.String(), errs: errs.String()}
}

// create makes an object that goes with the test.
func create(t *testing.T, object client.Object) {
	t.Helper()
	if err := world.admin.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { remove(t, object) })
}

func remove(t *testing.T, object client.Object) {
	t.Helper()
	if err := world.admin.Delete(context.Background(), object); client.IgnoreNotFound(err) != nil {
		t.Errorf("clean up: %v", err)
	}
	if namespace, ok := object.(*corev1.Namespace); ok {
		finalize(t, namespace.Name)
	}
}

// finalize ends the deletion of a namespace, as its controller would.
func finalize(t *testing.T, name string) {
	t.Helper()
	namespace := &corev1.Namespace{}
	err := world.admin.Get(context.Background(), client.ObjectKey{Name: name}, namespace)
	if err == nil {
		namespace.Spec.Finalizers = nil
		err = world.admin.SubResource("finalize").Update(context.Background(), namespace)
	}
	if client.IgnoreNotFound(err) != nil {
		t.Errorf("clean up: %v", err)
	}
}
