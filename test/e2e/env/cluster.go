// SPDX-License-Identifier: Apache-2.0

// Package env is how the end-to-end tests and the demo handle a real cluster:
// apply manifests, wait for what they should become, run commands in pods and
// send requests whose every outcome is recorded.
package env

import (
	"fmt"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
)

// FieldManager owns what Apply sets.
const FieldManager = "meshwright-e2e"

// Defaults of the images' names; the Makefile exports both variables.
const (
	DefaultRegistry = "ghcr.io/meshwright"
	DefaultTag      = "v0.1.0"
)

// Cluster is a connection to one Kubernetes cluster.
type Cluster struct {
	// Kubeconfig is the file that the connection was made from.
	Kubeconfig string
	// Registry and Tag are put in place of the defaults in applied manifests.
	Registry, Tag string
	// Kube and Dynamic talk to the API server.
	Kube    kubernetes.Interface
	Dynamic dynamic.Interface

	config *rest.Config
	mapper *restmapper.DeferredDiscoveryRESTMapper
}

// Connect reads the kubeconfig file and checks that the API server answers.
func Connect(kubeconfig string) (*Cluster, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig %s: %w", kubeconfig, err)
	}
	config.QPS, config.Burst, config.Timeout = 100, 200, 0
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client for %s: %w", kubeconfig, err)
	}
	dyn, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client for %s: %w", kubeconfig, err)
	}
	disco, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client for %s: %w", kubeconfig, err)
	}
	if _, err := disco.ServerVersion(); err != nil {
		return nil, fmt.Errorf("reach the API server of %s: %w", kubeconfig, err)
	}
	return &Cluster{
		Kubeconfig: kubeconfig, Registry: fromEnv("IMAGE_REGISTRY", DefaultRegistry), Tag: fromEnv("TAG", DefaultTag),
		Kube: kube, Dynamic: dyn, config: config,
		mapper: restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disco)),
	}, nil
}

func fromEnv(key, fallback string) string {
	if v := os.Getenv(key); v != "" {
		return v
	}
	return fallback
}

// mappingWait is how long a kind may take to appear after its CRD was applied.
const mappingWait = 15 * time.Second

// notServed tells whether err says that the API server does not know a kind.
func notServed(err error) bool {
	return meta.IsNoMatchError(err) || discovery.IsGroupDiscoveryFailedError(err)
}
