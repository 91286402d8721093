// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/meshwright/meshwright/internal/agent/drain"
	"github.com/meshwright/meshwright/internal/agent/metric"
	"github.com/meshwright/meshwright/internal/agent/probe"
	"github.com/meshwright/meshwright/internal/agent/secret"
)

const (
	readHeaderTimeout = 5 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 16 << 10
)

// The drain hook's times. The minimum is what clients need to learn that the endpoint is gone; the limit leaves an
// application with the usual 30 s of grace enough to end by itself.
const (
	prestopMinimum = 3 * time.Second
	prestopLimit   = 15 * time.Second
)

// serve starts the SDS server, the two HTTP servers and, if wanted, the name server. The channel gives the first failure of one of them.
func (a *agent) serve(ctx context.Context) (<-chan error, error) {
	sds, err := secret.Listen(a.config.socket())
	if err != nil {
		return nil, err
	}
	status, err := net.Listen("tcp", a.config.StatusAddress)
	if err != nil {
		_ = sds.Close()
		return nil, fmt.Errorf("listen at the status address: %w", err)
	}
	readiness, err := net.Listen("tcp", a.config.ReadinessAddress)
	if err != nil {
		_ = sds.Close()
		_ = status.Close()
		return nil, fmt.Errorf("listen at the readiness address: %w", err)
	}
	if a.config.DNSPort != 0 {
		if a.names, err = newNaming(a.config, a.registry, a.log.WithName("dns")); err != nil {
			_ = sds.Close()
			_ = status.Close()
			_ = readiness.Close()
			return nil, err
		}
	}
	health := http.NewServeMux()
	health.Handle("GET /healthz/ready", a.ready)
	failed := make(chan error, 4)
	run := func(f func() error) {
		go func() {
			if err := f(); err != nil && ctx.Err() == nil {
				a.log.Error(err, msgServeFail)
				failed <- err
			}
		}()
	}
	run(func() error { return a.secrets.Serve(ctx, sds) })
	run(func() error { return serveHTTP(ctx, status, a.statusHandler()) })
	run(func() error { return serveHTTP(ctx, readiness, health) })
	if a.names != nil {
		run(func() error { return a.names.server.Serve(ctx) })
	}
	return failed, nil
}

func serveHTTP(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: readHeaderTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", listener.Addr(), err)
	}
	return nil
}

func (a *agent) statusHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /healthz/ready", a.ready)
	mux.Handle("GET /stats/prometheus", metric.NewPage(a.admin, a.config.AppMetrics, a.config.PassthroughSource, a.registry, a.log.WithName("metrics")))
	mux.Handle(probe.PathPrefix, probe.NewHandler(a.config.Probes, probe.NewChecker(a.config.Pod.IPs[0].String(), a.config.PassthroughSource)))
	mux.HandleFunc("POST /quitquitquit", a.quitHandler)
	if a.config.PrestopToken != "" {
		mux.HandleFunc("GET /prestop/"+a.config.PrestopToken, a.prestopHandler)
	}
	return mux
}

// quitHandler lets a job that is done take its proxy along. Only the pod itself may ask.
func (a *agent) quitHandler(w http.ResponseWriter, r *http.Request) {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		http.Error(w, "only from within the pod", http.StatusForbidden)
		return
	}
	w.WriteHeader(http.StatusOK)
	a.requestQuit()
}

// prestopHandler is called by the kubelet before it stops the application: it drains what comes in while the application
// still serves, and answers when nothing is in flight any more. It never fails, or the hook would be reported as failed for
// a pod that ends anyway.
func (a *agent) prestopHandler(w http.ResponseWriter, r *http.Request) {
	if a.running.Load() {
		a.drainer.Drain(r.Context(), drain.Policy{
			InboundOnly: true, Minimum: prestopMinimum, Limit: min(prestopLimit, a.config.DrainLimit),
		})
	}
	w.WriteHeader(http.StatusOK)
}
