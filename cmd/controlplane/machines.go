// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"

	"github.com/meshwright/meshwright/internal/inject"
	"github.com/meshwright/meshwright/internal/machine"
	"github.com/meshwright/meshwright/internal/xds"
)

// machines registers what connects from outside of Kubernetes. Every replica does, for the machines that are connected
// to it.
type machines struct {
	*machine.Registry
	watch metadata.Interface
}

func newMachines(env environment) (*machines, error) {
	config, client := env.manager.GetConfig(), env.manager.GetHTTPClient()
	writer, err := dynamic.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, fmt.Errorf("client for machines: %w", err)
	}
	watch, err := metadata.NewForConfigAndClient(metadata.ConfigFor(config), client)
	if err != nil {
		return nil, fmt.Errorf("client for machines: %w", err)
	}
	typed, err := kubernetes.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, fmt.Errorf("client for replicas: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("name of this replica: %w", err)
	}
	pod, revision := os.Getenv("POD_NAME"), env.options.revision
	if revision == inject.DefaultRevision {
		revision = ""
	}
	return &machines{watch: watch, Registry: machine.New(machine.Options{
		Store: machine.NewStore(writer), Replicas: machine.NewReplicas(typed.CoreV1().Pods(env.options.namespace), pod),
		Self: machine.Self(pod, host, time.Now()), Revision: revision, Log: env.log.WithName("machines"),
	})}, nil
}

// Guest implements mesh.Machines.
func (m *machines) Guest(node *corev3.Node) (xds.Guest, error) {
	visit, err := m.Visit(node)
	if visit == nil {
		return nil, err
	}
	return visit, err
}

func (m *machines) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return m.Watch(ctx, m.watch) })
	group.Go(func() error { return m.Run(ctx) })
	return group.Wait()
}
