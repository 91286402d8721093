// SPDX-License-Identifier: Apache-2.0

// Package drain empties a proxy before it ends, so that no call is lost.
//
// A pod that is deleted leaves the endpoints of its service at once, but clients learn of it a little later, and calls in
// flight take their time. The order that loses nothing:
//
//  1. ask clients to leave (Connection: close, GOAWAY), while new connections are still accepted and served,
//  2. wait until nothing is in flight any more,
//  3. only then let the application, or the gateway itself, stop.
//
// For a gateway the agent's own SIGTERM starts this. A native sidecar gets its SIGTERM after the application has gone, too
// late for step 1; there the kubelet's call of the application's preStop hook starts it (Hold).
package drain

import (
	"context"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/meshwright/meshwright/internal/agent/admin"
)

const (
	// poll is how often Envoy is asked what it is doing.
	poll = 100 * time.Millisecond
	// quiet is how long nothing may be in flight before the proxy counts as idle: one look could fall between two requests.
	quiet = 500 * time.Millisecond
)

const (
	msgStart    = "draining"
	msgFailed   = "listeners could not be drained"
	msgUnread   = "activity could not be read"
	msgFinished = "drained"
	msgDeadline = "drain deadline reached with work in flight"
)

// Proxy is what draining needs of Envoy.
type Proxy interface {
	DrainListeners(ctx context.Context, inboundOnly bool) error
	Activity(ctx context.Context) (admin.Activity, error)
}

// Policy says how long to drain.
type Policy struct {
	// InboundOnly leaves the application's own calls alone; for sidecars.
	InboundOnly bool
	// Minimum is the shortest time, for load balancers that notice late.
	Minimum time.Duration
	// Limit is the longest time.
	Limit time.Duration
	// UntilClosed waits until clients have closed their connections. Without it a proxy with idle HTTP connections counts
	// as empty, which is right once the application behind it is gone.
	UntilClosed bool
}

// Drainer drains one proxy, once.
type Drainer struct {
	proxy Proxy
	log   logr.Logger
	start sync.Once
	err   error
}

// NewDrainer makes a drainer.
func NewDrainer(proxy Proxy, log logr.Logger) *Drainer {
	return &Drainer{proxy: proxy, log: log}
}

// Drain starts draining unless it was started before, and returns when the policy is met: true when the proxy is empty,
// false when the limit or the context ended the wait.
func (d *Drainer) Drain(ctx context.Context, policy Policy) bool {
	d.start.Do(func() {
		d.log.Info(msgStart, "inboundOnly", policy.InboundOnly, "limit", policy.Limit.String())
		d.err = d.proxy.DrainListeners(ctx, policy.InboundOnly)
	})
	if d.err != nil {
		// Waiting still helps: calls in flight end, and the endpoint has been removed elsewhere.
		d.log.Error(d.err, msgFailed)
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, policy.Limit)
	defer cancel()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	var idleSince time.Time
	var last admin.Activity
	for {
		activity, err := d.proxy.Activity(ctx)
		now := time.Now()
		switch {
		case err != nil:
			d.log.V(1).Info(msgUnread, "reason", err.Error())
			idleSince = time.Time{}
		case !policy.isEmpty(activity):
			last, idleSince = activity, time.Time{}
		case idleSince.IsZero():
			last, idleSince = activity, now
		}
		if !idleSince.IsZero() && now.Sub(idleSince) >= quiet && now.Sub(began) >= policy.Minimum {
			d.log.Info(msgFinished, "took", now.Sub(began).String())
			return true
		}
		select {
		case <-ctx.Done():
			d.log.Info(msgDeadline, "connections", last.Connections, "requests", last.Requests, "streams", last.Streams)
			return false
		case <-tick.C:
		}
	}
}

func (p Policy) isEmpty(a admin.Activity) bool {
	if p.UntilClosed {
		return a.Connections == 0
	}
	return a.IsIdle()
}
