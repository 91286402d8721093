// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/meshwright/meshwright/controllers/row"
	"github.com/meshwright/meshwright/controllers/security"
	"github.com/meshwright/meshwright/controllers/traffic"
	"github.com/meshwright/meshwright/internal/intake"
	"github.com/meshwright/meshwright/internal/mesh"
	"github.com/meshwright/meshwright/internal/notebook"
	"github.com/meshwright/meshwright/internal/projection"
	"github.com/meshwright/meshwright/internal/report"
	"github.com/meshwright/meshwright/internal/validate"
	"github.com/meshwright/meshwright/internal/webhook"
)

// discovery reads the cluster, programs the proxies and, on the leader, writes
// the status of what users wrote.
func discovery(env environment) (part, error) {
	o := env.options
	said, exports, err := settings(&env.mesh, o)
	if err != nil {
		return part{}, fmt.Errorf("--mesh-config=%s: %w", o.meshConfig, err)
	}
	inbox, scope := intake.NewInbox(), projection.Scope{Cluster: o.clusterID, Domain: o.clusterDomain, Exports: exports}
	cluster, configs, err := readers(env, inbox, scope)
	if err != nil {
		return part{}, err
	}
	statuses, err := newStatuses(env, configs.Status)
	if err != nil {
		return part{}, err
	}
	typed, err := kubernetes.NewForConfigAndClient(env.manager.GetConfig(), env.manager.GetHTTPClient())
	if err != nil {
		return part{}, fmt.Errorf("client for what workloads use: %w", err)
	}
	registrar, err := newMachines(env)
	if err != nil {
		return part{}, err
	}
	m, err := mesh.New(mesh.Options{
		Intake: intake.NewBarrier(inbox, append(configs.Synced(), cluster.Synced())...),
		Status: statuses, Proxies: env.proxies, Workers: runtime.GOMAXPROCS(0), Log: env.log.WithName("mesh"),
		Machines: registrar,
		Settings: said,
		Notebook: notebook.New(typed, o.namespace, o.name()+"-lessons", env.log.WithName("notebook")),
	})
	if err != nil {
		return part{}, err
	}
	statuses.Follow(m)
	return part{
		secure: m.Hub().Register, plaintext: m.Hub().Register,
		checks:  []webhook.Check{{Name: "discovery", Ready: ready(m)}},
		proxies: func() report.Proxies { return report.Proxies(m.Hub().Counts()) },
		metrics: mesh.Collectors(),
		run: func(ctx context.Context) error {
			group, ctx := errgroup.WithContext(ctx)
			group.Go(func() error { return cluster.Run(ctx) })
			group.Go(func() error { return configs.Run(ctx) })
			group.Go(func() error { return m.Run(ctx) })
			group.Go(func() error { return statuses.run(ctx, env) })
			group.Go(func() error { return registrar.run(ctx) })
			return group.Wait()
		},
		drain: func(context.Context) {
			registrar.Close()
			m.Hub().Close()
		},
	}, nil
}

// readers put what is in the cluster into the inbox: what Kubernetes has, and what
// users wrote of the mesh.
func readers(env environment, inbox *intake.Inbox, scope projection.Scope) (*intake.Cluster, *row.Set, error) {
	log := env.log.WithName("intake")
	cluster, err := intake.NewCluster(intake.Options{
		Config: rest.CopyConfig(env.manager.GetConfig()), Scope: scope,
		SecretNamespaces: env.options.gatewayNamespaces,
		Inbox:            inbox, Log: log,
	})
	if err != nil {
		return nil, nil, err
	}
	configs, err := row.NewSet(
		row.Options{Config: rest.CopyConfig(env.manager.GetConfig()), Inbox: inbox, Log: log},
		slices.Concat(traffic.Kinds(scope), security.Kinds(scope))...,
	)
	return cluster, configs, err
}

// admission reviews what users write with the same code that discovery reads it with.
func admission(env environment) (part, error) {
	return part{reviewers: map[string]webhook.Reviewer{webhook.PathValidate: validate.New(env.options.clusterDomain)}}, nil
}

func ready(m *mesh.Mesh) func() error {
	return func() error {
		select {
		case <-m.Ready():
			return nil
		default:
			return errors.New("the cluster was not read as a whole yet")
		}
	}
}
