// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/meshwright/meshwright/internal/ca"
	"github.com/meshwright/meshwright/internal/meshconfig"
	"github.com/meshwright/meshwright/internal/proxyconfig"
	"github.com/meshwright/meshwright/internal/trust"
	"github.com/meshwright/meshwright/internal/webhook"
)

const (
	msgStart    = "starting"
	msgServing  = "serving"
	msgStopping = "stopping: no longer ready, draining"
	msgStopped  = "stopped"
)

const (
	// endpointLag is how long the API server and proxies may still send us new requests after readiness is off.
	endpointLag = 3 * time.Second
	// webhookGrace lets reviews under way finish.
	webhookGrace = 5 * time.Second
	// coreGrace lets the controllers finish what they write. With endpointLag and the flag --shutdown-grace it stays
	// below the usual 30 s of a pod.
	coreGrace = 5 * time.Second
)

// servingTLS is what a listener needs of the serving certificate.
type servingTLS interface {
	TLS() *tls.Config
	MutualTLS() *tls.Config
}

// run is the life of the process: load what must be there, assemble, serve, drain.
func run(ctx context.Context, o *options) error {
	level, err := o.level()
	if err != nil {
		return err
	}
	log := zap.New(zap.WriteTo(os.Stderr), zap.Level(level))
	ctrl.SetLogger(log)
	klog.SetLogger(log.WithName("client"))
	bound(log)
	log.Info(msgStart, "version", version, "revision", o.revision, "namespace", o.namespace)

	mesh, err := meshconfig.Load(o.meshConfig)
	if err != nil {
		return fmt.Errorf("--mesh-config=%s: %w", o.meshConfig, err)
	}
	config, err := kubeconfig(o)
	if err != nil {
		return err
	}
	direct, err := client.New(config, client.Options{Scheme: clientgoscheme.Scheme})
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	store := ca.Store{Client: direct, Namespace: o.namespace}
	authority, err := loadAuthority(ctx, store, o, mesh.TrustDomain, log.WithName("ca"))
	if err != nil {
		return err
	}
	serving := ca.NewServing(authority, o.serverNames()...)
	mgr, err := newManager(config, o, serving)
	if err != nil {
		return err
	}
	env := environment{
		options: o, mesh: mesh, manager: mgr, authority: authority, store: store,
		proxies: proxyconfig.NewStore(mesh.DefaultConfig.Settings, o.namespace), log: log,
	}
	parts, err := assemble(env)
	if err != nil {
		return err
	}
	return serve(ctx, env, parts, serving)
}

func kubeconfig(o *options) (*rest.Config, error) {
	var config *rest.Config
	var err error
	if o.kubeconfig != "" {
		config, err = clientcmd.BuildConfigFromFlags("", o.kubeconfig)
	} else {
		config, err = rest.InClusterConfig()
	}
	if err != nil {
		return nil, fmt.Errorf("find the API server: %w; outside a cluster give --kubeconfig", err)
	}
	config.QPS, config.Burst = o.kubeQPS, o.kubeBurst
	config.UserAgent = "meshwright-controlplane/" + version
	return config, nil
}

// newManager makes the caches, the election and the metrics server. The caches of kinds that we own one object of hold
// that object only, so that the rights to one name are enough.
func newManager(config *rest.Config, o *options, serving servingTLS) (manager.Manager, error) {
	named := func(name string) cache.ByObject {
		return cache.ByObject{Field: fields.OneTermEqualSelector("metadata.name", name)}
	}
	secrets := map[string]cache.Config{}
	for _, namespace := range o.gatewayNamespaces {
		secrets[namespace] = cache.Config{}
	}
	monitoring := metricsserver.Options{BindAddress: "0"}
	if o.monitoringAddress != "" {
		monitoring = metricsserver.Options{
			BindAddress: o.monitoringAddress, SecureServing: true, FilterProvider: filters.WithAuthenticationAndAuthorization,
			TLSOpts: []func(*tls.Config){func(c *tls.Config) {
				c.MinVersion, c.GetCertificate = tls.VersionTLS12, serving.TLS().GetCertificate
			}},
		}
	}
	mgr, err := ctrl.NewManager(config, manager.Options{
		Scheme:  clientgoscheme.Scheme,
		Metrics: monitoring,
		Cache: cache.Options{
			DefaultTransform: cache.TransformStripManagedFields(),
			ByObject: map[client.Object]cache.ByObject{
				&corev1.ConfigMap{}: named(trust.ConfigMap),
				&corev1.Secret{}:    {Namespaces: secrets},
				&admissionregistrationv1.MutatingWebhookConfiguration{}:   named(injectorConfiguration(o)),
				&admissionregistrationv1.ValidatingWebhookConfiguration{}: named(validatorConfiguration(o)),
			},
		},
		GracefulShutdownTimeout: new(coreGrace),
	})
	if err != nil {
		return nil, fmt.Errorf("manager: %w", err)
	}
	return mgr, nil
}

// serve runs everything until the context ends or something fails. The order of the end matters: readiness off, wait
// until nobody sends new work, drain streams, and only then the caches and the lease.
func serve(ctx context.Context, env environment, parts []part, serving servingTLS) error {
	var stopping atomic.Bool
	for _, p := range parts {
		metrics.Registry.MustRegister(p.metrics...)
	}
	streams, err := grpcServers(env, parts, serving)
	if err != nil {
		return err
	}
	serveWebhooks, err := webhookServer(env, parts, serving, streams, readiness(env, parts, &stopping))
	if err != nil {
		return err
	}

	// base outlives the signal; the front (listeners) and the core (caches, lease) end one after the other.
	base := context.WithoutCancel(ctx)
	core, stopCore := context.WithCancel(base)
	defer stopCore()
	front, stopFront := context.WithCancel(base)
	defer stopFront()
	group, failed := errgroup.WithContext(base)
	var listeners sync.WaitGroup
	listen := func(f func(context.Context) error) {
		listeners.Add(1)
		group.Go(func() error { defer listeners.Done(); return f(front) })
	}
	group.Go(func() error { return env.manager.Start(core) })
	for _, p := range parts {
		if p.run != nil {
			group.Go(func() error { return p.run(core) })
		}
	}
	listen(serveWebhooks)
	listen(func(ctx context.Context) error { return serveProfiles(ctx, env.options.profilingAddress) })
	for _, s := range streams {
		listen(func(ctx context.Context) error { return serveGRPC(ctx, s.server, s.listener) })
		env.log.Info(msgServing, "protocol", "gRPC", "address", s.listener.Addr().String())
	}

	select {
	case <-ctx.Done():
		env.log.Info(msgStopping)
		stopping.Store(true)
		pause(failed, endpointLag)
	case <-failed.Done():
	}
	// One budget for all that drains: streams that are still open at its end are cut.
	cut := time.AfterFunc(env.options.shutdownGrace, func() {
		for _, s := range streams {
			s.server.Stop()
		}
	})
	defer cut.Stop()
	drain(base, parts, env.options.shutdownGrace)
	stopFront()
	listeners.Wait()
	stopCore()
	err = group.Wait()
	env.log.Info(msgStopped)
	return err
}

// readiness is what must hold for the replica to be sent work.
func readiness(env environment, parts []part, stopping *atomic.Bool) []webhook.Check {
	checks := []webhook.Check{{Name: "not-stopping", Ready: func() error {
		if stopping.Load() {
			return errors.New("this replica is shutting down")
		}
		return nil
	}}, {Name: "caches", Ready: synced(env.manager)}}
	for _, p := range parts {
		checks = append(checks, p.checks...)
	}
	return checks
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func drain(ctx context.Context, parts []part, grace time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	for _, p := range parts {
		if p.drain != nil {
			p.drain(ctx)
		}
	}
}

// synced holds once the caches have been in step with the API server. It does not fail later: an API server that is
// away must not take the replicas that still serve out of rotation.
func synced(mgr manager.Manager) func() error {
	var done atomic.Bool
	return func() error {
		if done.Load() {
			return nil
		}
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		if !mgr.GetCache().WaitForCacheSync(ctx) {
			return errors.New("the caches are not in step with the API server yet")
		}
		done.Store(true)
		return nil
	}
}

// stream is one gRPC server with its listener.
type stream struct {
	server   *grpc.Server
	listener net.Listener
	secure   bool // with TLS
}

func grpcServers(env environment, parts []part, serving servingTLS) ([]stream, error) {
	var out []stream
	for _, s := range []struct {
		address  string
		config   *tls.Config
		register func(part) func(grpc.ServiceRegistrar)
	}{
		{env.options.xdsAddress, serving.MutualTLS(), func(p part) func(grpc.ServiceRegistrar) { return p.secure }},
		{env.options.xdsPlaintext, nil, func(p part) func(grpc.ServiceRegistrar) { return p.plaintext }},
	} {
		if s.address == "" {
			continue
		}
		listener, err := net.Listen("tcp", s.address)
		if err != nil {
			return nil, fmt.Errorf("listen for proxies: %w", err)
		}
		server := newGRPC(s.config, env.log.WithName("grpc"))
		for _, p := range parts {
			if register := s.register(p); register != nil {
				register(server)
			}
		}
		out = append(out, stream{server, listener, s.config != nil})
	}
	return out, nil
}
