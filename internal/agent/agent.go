// SPDX-License-Identifier: Apache-2.0

// Package agent runs beside one Envoy: it gives it its identity and first configuration, answers for its health, joins its
// metrics with the application's, and lets it end without losing calls.
package agent

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/meshwright/meshwright/internal/agent/admin"
	"github.com/meshwright/meshwright/internal/agent/bootstrap"
	"github.com/meshwright/meshwright/internal/agent/child"
	"github.com/meshwright/meshwright/internal/agent/drain"
	"github.com/meshwright/meshwright/internal/agent/identity"
	"github.com/meshwright/meshwright/internal/agent/metric"
	"github.com/meshwright/meshwright/internal/agent/node"
	"github.com/meshwright/meshwright/internal/agent/ready"
	"github.com/meshwright/meshwright/internal/agent/secret"
)

const (
	// certificateWait is how long Envoy's start waits for the first certificate. It then starts without one, so that its
	// admin interface can be looked at; it takes no traffic before it has its configuration, for which it needs one.
	certificateWait = 30 * time.Second
	// stopGrace is how long Envoy gets to end once it is empty.
	stopGrace = 5 * time.Second
)

const (
	msgStarting  = "starting"
	msgNoCert    = "no certificate yet, starting envoy without it: it will not be ready before it has one"
	msgStarted   = "envoy started"
	msgStopping  = "terminating"
	msgStopped   = "envoy stopped"
	msgStats     = "some metrics asked for by annotation are not included"
	msgNoNames   = "names of the mesh cannot be asked for"
	msgPublish   = "certificate could not be given to the proxy"
	msgServeFail = "server failed"
)

// ExitError says that Envoy ended by itself. The agent must then end with the same code.
type ExitError struct {
	Code int
	Text string
}

// Error implements error.
func (e *ExitError) Error() string { return "envoy ended by itself: " + e.Text }

type agent struct {
	config   Config
	log      logr.Logger
	admin    *admin.Client
	keeper   *identity.Keeper
	secrets  *secret.Server
	ready    *ready.Checker
	drainer  *drain.Drainer
	registry *prometheus.Registry
	names    *naming // nil without DNS capture
	// quit is closed by /quitquitquit.
	quit    chan struct{}
	quitted atomic.Bool
	// running is set while there is an Envoy that can be drained.
	running atomic.Bool
}

// Run works until the context is cancelled (a signal), a client asks it to quit, or Envoy ends. It drains the proxy before
// it returns. The error is an *ExitError when Envoy ended by itself.
func Run(ctx context.Context, config Config, log logr.Logger) error {
	if err := config.Validate(); err != nil {
		return err
	}
	a := newAgent(config, log)
	log.Info(msgStarting, "node", config.Pod.ID(), "discovery", config.DiscoveryAddress, "concurrency", config.Concurrency)
	if err := a.writeBootstrap(); err != nil {
		return err
	}
	// What serves the proxy must outlive the signal: draining still needs certificates and metrics.
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	failed, err := a.serve(serving)
	if err != nil {
		return err
	}
	go a.keeper.Run(serving)
	if a.names != nil {
		go a.names.follow(serving, a.keeper)
	}
	if config.Health != nil {
		go a.tellHealth(serving, *config.Health)
	}

	timer := time.NewTimer(certificateWait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil
	case <-a.quit:
		return nil
	case err := <-failed:
		return err
	case <-timer.C:
		log.Info(msgNoCert)
	case <-a.keeper.First():
	}
	return a.supervise(ctx, failed)
}

func newAgent(config Config, log logr.Logger) *agent {
	a := &agent{
		config: config, log: log, admin: admin.NewClient(config.AdminAddress), quit: make(chan struct{}),
		secrets: secret.NewServer(log.WithName("sds")), registry: prometheus.NewRegistry(),
	}
	a.ready = ready.NewChecker(a.admin, a.secrets.Served())
	a.drainer = drain.NewDrainer(a.admin, log.WithName("drain"))
	own := metric.NewCertificate(a.registry)
	a.keeper = identity.NewKeeper(identity.Options{
		Signer: identity.ControlPlane{
			Address: config.DiscoveryAddress, TokenFile: config.TokenFile, RootFile: config.RootFile,
		},
		RootFile: config.RootFile,
		TTL:      config.CertificateTTL,
		Expected: config.Pod.Identity(config.TrustDomain),
		Publish: func(m *identity.Material) {
			own.Issued(m.NotAfter)
			if err := a.secrets.Publish(m); err != nil {
				log.Error(err, msgPublish)
			}
		},
		Observe: own.Requested,
		Log:     log.WithName("identity"),
	})
	return a
}

func (a *agent) writeBootstrap() error {
	message, err := a.config.Pod.Message()
	if err != nil {
		return err
	}
	connections, err := a.config.connectionLimit()
	if err != nil {
		return err
	}
	stats, err := bootstrap.ParseStatsInclusion(a.config.Pod.Annotations)
	if err != nil {
		a.log.Error(err, msgStats)
	}
	b, err := bootstrap.Build(bootstrap.Config{
		Node:             message,
		DiscoveryAddress: a.config.DiscoveryAddress,
		PreferIPv6:       a.config.Pod.IPs[0].Is6(),
		SecretSocket:     a.config.socket(),
		AdminAddress:     a.config.AdminAddress,
		MaxConnections:   connections,
		Stats:            stats,
	})
	if err != nil {
		return err
	}
	text, err := bootstrap.JSON(b)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(a.config.StateDir, 0o700); err != nil {
		return fmt.Errorf("make the state directory: %w", err)
	}
	if err := os.WriteFile(a.config.bootstrapFile(), text, 0o600); err != nil {
		return fmt.Errorf("write envoy's bootstrap: %w", err)
	}
	return nil
}

// supervise runs Envoy until it ends or has to.
func (a *agent) supervise(ctx context.Context, failed <-chan error) error {
	envoy, err := child.Start(a.config.EnvoyPath, a.arguments())
	if err != nil {
		return err
	}
	a.running.Store(true)
	a.log.Info(msgStarted, "pid", envoy.PID())
	var cause error
	select {
	case <-envoy.Done():
		code, text := envoy.Status()
		// Never a success: the pod has no proxy any more, whatever Envoy made of it.
		return &ExitError{Code: max(code, 1), Text: text}
	case cause = <-failed:
	case <-a.quit:
	case <-ctx.Done():
	}
	a.log.Info(msgStopping)
	if a.config.Pod.Role == node.Router {
		a.ready.Terminate()
	}
	a.drain(envoy)
	envoy.Stop(stopGrace)
	a.log.Info(msgStopped)
	return cause
}

// drain waits until Envoy is empty, or has ended, which leaves nothing to wait for.
func (a *agent) drain(envoy *child.Child) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-envoy.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	policy := drain.Policy{InboundOnly: true, Limit: a.config.DrainLimit}
	if a.config.Pod.Role == node.Router {
		policy = drain.Policy{UntilClosed: true, Minimum: a.config.DrainMinimum, Limit: a.config.DrainLimit}
	}
	a.drainer.Drain(ctx, policy)
}

func (a *agent) arguments() []string {
	args := []string{
		"-c", a.config.bootstrapFile(),
		"--concurrency", strconv.Itoa(a.config.Concurrency),
		"--log-level", a.config.LogLevel,
		// Clients are asked to leave with their next response; how long they have is the drain limit.
		"--drain-strategy", "immediate",
		"--drain-time-s", strconv.Itoa(max(int(a.config.DrainLimit/time.Second), 1)),
		"--disable-hot-restart",
		"--use-dynamic-base-id",
	}
	if levels := a.config.ComponentLogLevel; levels != "" {
		args = append(args, "--component-log-level", levels)
	}
	return args
}

// requestQuit makes Run end as a signal would. Further calls do nothing.
func (a *agent) requestQuit() {
	if a.quitted.CompareAndSwap(false, true) {
		close(a.quit)
	}
}
