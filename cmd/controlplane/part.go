// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/meshwright/meshwright/internal/ca"
	"github.com/meshwright/meshwright/internal/meshconfig"
	"github.com/meshwright/meshwright/internal/proxyconfig"
	"github.com/meshwright/meshwright/internal/report"
	"github.com/meshwright/meshwright/internal/webhook"
)

// environment is what the parts of the control plane are built from.
type environment struct {
	options   *options
	mesh      meshconfig.Config
	manager   manager.Manager
	authority *ca.Authority
	store     ca.Store
	proxies   *proxyconfig.Store // what discovery reads and injection goes by
	log       logr.Logger
}

// part is one ability of the control plane. Every field may be empty.
type part struct {
	// secure adds services to the server with TLS, plaintext to the one without.
	secure, plaintext func(grpc.ServiceRegistrar)
	// reviewers answer admission reviews, by path.
	reviewers map[string]webhook.Reviewer
	// proxies counts those that this replica serves.
	proxies func() report.Proxies
	// checks must hold before the replica is ready.
	checks []webhook.Check
	// metrics are registered with the process.
	metrics []prometheus.Collector
	// run works until its context ends; an error ends the process.
	run func(context.Context) error
	// drain asks clients to go elsewhere; it is called once, when the replica is no longer ready, and returns when they
	// have gone or its context has ended.
	drain func(context.Context)
}

// assemble builds all parts, in this order. It is the whole list of what this process does.
func assemble(env environment) ([]part, error) {
	var out []part
	for _, p := range []struct {
		name string
		make func(environment) (part, error)
	}{
		{"certificates", certificates},
		{"root distribution", rootDistribution},
		{"injection", injection},
		{"validation", admission},
		{"discovery", discovery},
		{"webhook configurations", bundles},
	} {
		built, err := p.make(env)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		out = append(out, built)
	}
	return out, nil
}
