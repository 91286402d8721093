// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshwright/meshwright/internal/inject"
	"github.com/meshwright/meshwright/internal/report"
	"github.com/meshwright/meshwright/internal/webhook"
)

// bundleTimeout bounds one look at the webhook configurations in the cache.
const bundleTimeout = time.Second

// namespaceLabels reads from the cache, and from the API server for a namespace that is younger than the cache knows: a
// pod may be created in it within the same second.
type namespaceLabels struct {
	cached, live client.Reader
}

func (n namespaceLabels) NamespaceLabels(ctx context.Context, name string) (map[string]string, error) {
	var found corev1.Namespace
	err := n.cached.Get(ctx, client.ObjectKey{Name: name}, &found)
	if apierrors.IsNotFound(err) {
		err = n.live.Get(ctx, client.ObjectKey{Name: name}, &found)
	}
	return found.Labels, err
}

// What namespaces say and the own revision may differ, so injection has paths below its own.
var _ webhook.Branching = (*inject.Injector)(nil)

func injection(env environment) (part, error) {
	o := env.options
	if o.webhookAddress == "" || o.proxyImage == "" {
		return part{}, nil
	}
	config := inject.Config{
		Revision: o.revision, Image: o.proxyImage, PullPolicy: corev1.PullPolicy(o.imagePullPolicy), PullSecrets: o.imagePullSecrets,
		DiscoveryAddress: net.JoinHostPort(o.serverName(), "15012"), TrustDomain: env.mesh.TrustDomain,
		ClusterID: o.clusterID, ClusterDomain: o.clusterDomain, Network: o.network, CNI: o.cni, CNINetwork: o.cniNetwork,
	}
	namespaces := namespaceLabels{cached: env.manager.GetClient(), live: env.manager.GetAPIReader()}
	colleagues := webhook.NewColleagues(env.authority.Bundle().Pool(), o.serverNameOf)
	injector, err := inject.NewInjector(config, namespaces, env.proxies, colleagues, env.log.WithName("inject"))
	if err != nil {
		return part{}, err
	}
	return part{
		reviewers: map[string]webhook.Reviewer{webhook.PathInject: injector},
		metrics:   inject.Collectors(),
	}, nil
}

func bundles(env environment) (part, error) {
	o := env.options
	if o.webhookAddress == "" {
		return part{}, nil
	}
	b := &webhook.Bundles{
		Client: env.manager.GetClient(), Root: env.authority.Bundle().RootPEM(), Service: o.name(), Namespace: o.namespace,
		Mutating: injectorConfiguration(o), Validating: validatorConfiguration(o),
	}
	if err := b.SetupWithManager(env.manager); err != nil {
		return part{}, err
	}
	ready := func() error {
		ctx, cancel := context.WithTimeout(context.Background(), bundleTimeout)
		defer cancel()
		return b.Ready(ctx)
	}
	return part{checks: []webhook.Check{{Name: "webhook-configurations", Ready: ready}}}, nil
}

func injectorConfiguration(o *options) string { return "meshwright-injector" + o.suffix() }

func validatorConfiguration(o *options) string { return "meshwright-validator" + o.suffix() }

// webhookServer puts the reviewers of all parts behind one listener, with what this replica says of itself. It returns the
// function that serves.
func webhookServer(env environment, parts []part, serving servingTLS, streams []stream, checks []webhook.Check) (func(context.Context) error, error) {
	o := env.options
	if o.webhookAddress == "" {
		return func(context.Context) error { return nil }, nil
	}
	reviewers := map[string]webhook.Reviewer{}
	for _, p := range parts {
		for path, r := range p.reviewers {
			reviewers[path] = r
		}
	}
	listener, err := net.Listen("tcp", o.webhookAddress)
	if err != nil {
		return nil, fmt.Errorf("listen for webhooks: %w", err)
	}
	own := ownChecks(env, reviewers[webhook.PathInject] != nil, webhook.LocalAddress(listener.Addr()), streams)
	for _, c := range own {
		if c.repeated != nil {
			checks = append(checks, webhook.Check{Name: c.name, Ready: c.Ready})
		}
	}
	tell := func() report.Report {
		out := report.Report{Version: version, Revision: o.revision, Webhooks: report.AnswerOf(own[0].Ready()), XDS: report.AnswerOf(own[1].Ready())}
		for _, p := range parts {
			if p.proxies != nil {
				out.Proxies = p.proxies()
			}
		}
		return out
	}
	server := webhook.NewServer(serving.TLS(), reviewers, checks, tell, env.log.WithName("webhook"))
	return func(ctx context.Context) error {
		for _, c := range own {
			if c.repeated != nil {
				go c.repeated.Run(ctx)
			}
		}
		return server.Serve(ctx, listener, webhookGrace)
	}, nil
}
