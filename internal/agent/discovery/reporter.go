// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/go-logr/logr"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"

	"github.com/meshwright/meshwright/internal/agent/identity"
)

// HealthType is the type of requests that tell of the workload's health and ask for nothing.
const HealthType = "type.googleapis.com/istio.v1.HealthInformation"

// Reporter tells the control plane of the workload's health: what it is whenever a stream opens, and each change.
type Reporter struct {
	address  string
	node     *corev3.Node
	identity func() *identity.Material
	log      logr.Logger
	wake     chan struct{}

	mu      sync.Mutex
	known   bool
	problem string
}

// NewReporter makes a reporter that does nothing until Run.
func NewReporter(address string, node *corev3.Node, current func() *identity.Material, log logr.Logger) *Reporter {
	return &Reporter{address: address, node: node, identity: current, log: log, wake: make(chan struct{}, 1)}
}

// Tell takes what is wrong with the workload; empty when it is healthy.
func (r *Reporter) Tell(problem string) {
	r.mu.Lock()
	r.known, r.problem = true, problem
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default: // a wake-up is on its way already
	}
}

// Run keeps a stream open until the context ends. A certificate must be there.
func (r *Reporter) Run(ctx context.Context) {
	failures := 0
	for {
		opened := time.Now()
		err := r.stream(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(opened) > pingInterval {
			failures = 0
		}
		failures++
		pause := identity.Backoff(failures)
		r.log.Info(msgLost, "error", err.Error(), "retryAfter", pause.Round(time.Millisecond).String())
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// stream tells what is known until the stream ends.
func (r *Reporter) stream(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	secured, err := transport(r.address, r.identity())
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient("dns:///"+r.address, grpc.WithTransportCredentials(secured),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingInterval, Timeout: pingTimeout}))
	if err != nil {
		return fmt.Errorf("connect to %s: %w", r.address, err)
	}
	defer conn.Close()
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		return fmt.Errorf("open a stream to %s: %w", r.address, err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := stream.Recv() // nothing is asked for
		ended <- err
	}()
	node := r.node
	for {
		if request := r.request(); request != nil {
			request.Node, node = node, nil
			if err := stream.Send(request); err != nil {
				return fmt.Errorf("tell %s of the workload's health: %w", r.address, <-ended)
			}
		}
		select {
		case err := <-ended:
			return fmt.Errorf("stream to %s: %w", r.address, err)
		case <-r.wake:
		}
	}
}

// request says what is known; nil: nothing yet.
func (r *Reporter) request() *discoveryv3.DeltaDiscoveryRequest {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.known {
		return nil
	}
	out := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: HealthType}
	if r.problem != "" {
		out.ErrorDetail = &status.Status{Code: int32(codes.Unavailable), Message: r.problem}
	}
	return out
}
