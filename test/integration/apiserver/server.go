// SPDX-License-Identifier: Apache-2.0

// Package apiserver starts a real etcd and kube-apiserver on loopback for integration tests. There are no controllers
// and no nodes: objects are stored, defaulted, validated, authorised and watched, and nothing else happens to them.
package apiserver

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/meshwright/meshwright/test/cluster/binary"
)

// Bounds of starting and stopping on a busy machine.
const (
	startLimit = 90 * time.Second
	stopLimit  = 30 * time.Second
	// buildLimit is for a machine that has no binaries in its cache yet.
	buildLimit = 20 * time.Minute
)

// Options of a server.
type Options struct {
	// CRDs are files or directories with CustomResourceDefinitions to install; they may be empty.
	CRDs []string
}

// Server is a running API server.
type Server struct {
	// Config is an administrator's, without client-side limits.
	Config *rest.Config
	// Kubeconfig is the same as a file's content.
	Kubeconfig []byte

	environment *envtest.Environment
}

// Start makes the binaries when the cache has none, which takes minutes once, and returns when the API server answers.
// Stop must be called. Usual place: TestMain of the package.
func Start(options Options) (*Server, error) {
	source, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	cache, err := binary.Open(filepath.Join(source, "test", "cluster"), os.Stderr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), buildLimit)
	defer cancel()
	if err := cache.Ensure(ctx, "etcd", "kubernetes"); err != nil {
		return nil, fmt.Errorf("make etcd and kube-apiserver: %w", err)
	}
	environment := &envtest.Environment{
		CRDDirectoryPaths: options.CRDs, ErrorIfCRDPathMissing: true,
		ControlPlaneStartTimeout: startLimit, ControlPlaneStopTimeout: stopLimit,
	}
	environment.ControlPlane.Etcd = &envtest.Etcd{Path: cache.Path("etcd")}
	environment.ControlPlane.GetAPIServer().Path = cache.Path("kube-apiserver")
	config, err := environment.Start()
	if err != nil {
		// What has started already must not stay behind.
		_ = environment.Stop()
		return nil, fmt.Errorf("start etcd and kube-apiserver: %w", err)
	}
	return &Server{Config: config, Kubeconfig: environment.KubeConfig, environment: environment}, nil
}

// Stop ends both processes and removes their data.
func (s *Server) Stop() error {
	if err := s.environment.Stop(); err != nil {
		return fmt.Errorf("stop etcd and kube-apiserver: %w", err)
	}
	return nil
}

// User makes credentials of a user with the given name and groups, and nothing but the rights that RBAC gives to them.
// The name of a service account is possible: system:serviceaccount:NAMESPACE:NAME.
func (s *Server) User(name string, groups ...string) (*rest.Config, []byte, error) {
	user, err := s.environment.AddUser(envtest.User{Name: name, Groups: groups}, &rest.Config{QPS: -1})
	if err != nil {
		return nil, nil, fmt.Errorf("make credentials of %s: %w", name, err)
	}
	kubeconfig, err := user.KubeConfig()
	if err != nil {
		return nil, nil, fmt.Errorf("make the kubeconfig of %s: %w", name, err)
	}
	return user.Config(), kubeconfig, nil
}

// moduleRoot is the nearest directory above the working directory that holds go.mod and test/cluster; go test runs in
// the directory of the package.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	for {
		_, mod := os.Stat(filepath.Join(dir, "go.mod"))
		_, cluster := os.Stat(filepath.Join(dir, "test", "cluster"))
		if mod == nil && cluster == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("find the module: no go.mod above the working directory")
		}
		dir = parent
	}
}
