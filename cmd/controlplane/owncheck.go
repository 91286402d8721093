// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"errors"

	"github.com/meshwright/meshwright/internal/webhook"
	"github.com/meshwright/meshwright/internal/xds"
)

var errNotServed = errors.New("not served by this replica")

// ownCheck calls one of the own servers as others do.
type ownCheck struct {
	name string
	// repeated is nil where the server does not run.
	repeated *webhook.Repeated
}

// Ready is the outcome of the last call.
func (c ownCheck) Ready() error {
	if c.repeated == nil {
		return errNotServed
	}
	return c.repeated.Ready()
}

// ownChecks are those of the webhooks and of discovery, in this order.
func ownChecks(env environment, injects bool, address string, streams []stream) [2]ownCheck {
	o, roots := env.options, env.authority.Bundle().Pool()
	out := [2]ownCheck{{name: "webhook-self-check"}, {name: "discovery-self-check"}}
	if injects {
		check := &webhook.SelfCheck{Address: address, ServerName: o.serverName(), Roots: roots, Namespace: o.namespace}
		out[0].repeated = check.Repeated()
	}
	for _, s := range streams {
		if !s.secure {
			continue
		}
		config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, ServerName: o.serverName()}
		out[1].repeated = &webhook.Repeated{Call: func(ctx context.Context) error {
			return xds.Probe(ctx, webhook.LocalAddress(s.listener.Addr()), config)
		}}
	}
	return out
}
