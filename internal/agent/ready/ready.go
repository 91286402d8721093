// SPDX-License-Identifier: Apache-2.0

// Package ready answers whether the proxy can take traffic.
package ready

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Proxy is what readiness reads of Envoy.
type Proxy interface {
	Live(ctx context.Context) error
	Values(ctx context.Context, expression string) (map[string]uint64, error)
}

const (
	cdsAccepted   = "cluster_manager.cds.update_success"
	cdsRejected   = "cluster_manager.cds.update_rejected"
	activeCluster = "cluster_manager.active_clusters"
	ldsAccepted   = "listener_manager.lds.update_success"
	ldsRejected   = "listener_manager.lds.update_rejected"
	activeListen  = "listener_manager.total_listeners_active"
	workers       = "listener_manager.workers_started"
)

const expression = `^(cluster_manager\.(cds\.update_(success|rejected)|active_clusters)|` +
	`listener_manager\.(lds\.update_(success|rejected)|total_listeners_active|workers_started))$`

// staticClusters are in the bootstrap and say nothing about the control plane's configuration.
const staticClusters = 2

const (
	// goodFor and badFor are how long an answer is reused: probes come from the kubelet, load balancers and anybody else.
	goodFor = time.Second
	badFor  = 200 * time.Millisecond
)

// ErrTerminating is the answer of a gateway that is about to end.
var ErrTerminating = errors.New("terminating")

// Checker decides readiness. It is safe for concurrent use.
type Checker struct {
	proxy  Proxy
	served <-chan struct{}

	mu          sync.Mutex
	configured  bool
	terminating bool
	last        error
	until       time.Time
}

// NewChecker makes a checker. served is closed when the proxy was given its certificate.
func NewChecker(proxy Proxy, served <-chan struct{}) *Checker {
	return &Checker{proxy: proxy, served: served}
}

// Terminate makes every further answer ErrTerminating.
func (c *Checker) Terminate() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.terminating = true
}

// Check is nil when the proxy is ready; the error says what is missing. Callers that come together share one look.
func (c *Checker) Check(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.terminating {
		return ErrTerminating
	}
	if time.Now().Before(c.until) {
		return c.last
	}
	err := c.look(ctx)
	if ctx.Err() != nil {
		// The caller went away; that says nothing about the proxy.
		return err
	}
	c.last, c.until = err, time.Now().Add(badFor)
	if err == nil {
		c.until = time.Now().Add(goodFor)
	}
	return err
}

func (c *Checker) look(ctx context.Context) error {
	if !c.configured {
		if err := c.isConfigured(ctx); err != nil {
			return err
		}
		c.configured = true
	}
	return c.proxy.Live(ctx)
}

// isConfigured reports what is missing until the first configuration is in force. It stays in force when the control plane
// goes away, so this is not asked again.
func (c *Checker) isConfigured(ctx context.Context) error {
	select {
	case <-c.served:
	default:
		return errors.New("waiting for the workload's certificate")
	}
	values, err := c.proxy.Values(ctx, expression)
	if err != nil {
		return err
	}
	// A first update with a bad part is rejected, but its good parts are in force; the control plane reports the bad one.
	// A proxy that works must not be kept out for it.
	if values[cdsAccepted] == 0 && (values[cdsRejected] == 0 || values[activeCluster] <= staticClusters) {
		return fmt.Errorf("waiting for clusters from the control plane (%d updates rejected)", values[cdsRejected])
	}
	if values[ldsAccepted] == 0 && (values[ldsRejected] == 0 || values[activeListen] == 0) {
		return fmt.Errorf("waiting for listeners from the control plane (%d updates rejected)", values[ldsRejected])
	}
	if values[workers] == 0 {
		return errors.New("waiting for envoy's workers")
	}
	return nil
}

// ServeHTTP answers 200, or 503 with the reason.
func (c *Checker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := c.Check(r.Context()); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusOK)
}
