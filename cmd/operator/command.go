// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"os"
	"regexp"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"go.uber.org/zap/zapcore"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/discovery"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/charts"
	"github.com/meshwright/meshwright/controllers/istiooperator"
	"github.com/meshwright/meshwright/controllers/meshoperator"
	"github.com/meshwright/meshwright/controllers/meshrevision"
	"github.com/meshwright/meshwright/controllers/meshrevisiontag"
	"github.com/meshwright/meshwright/controllers/operatorcondition"
	"github.com/meshwright/meshwright/controllers/owner"
	"github.com/meshwright/meshwright/internal/apply"
	"github.com/meshwright/meshwright/internal/helm"
	"github.com/meshwright/meshwright/internal/revision"
	"github.com/meshwright/meshwright/internal/rollout"
	"github.com/meshwright/meshwright/internal/selfcheck"
)

var digestPattern = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// options are the flags.
type options struct {
	kubeconfig     string
	namespace      string
	metricsAddress string
	probeAddress   string
	leaderElect    bool
	registry       string
	tag            string
	digests        map[string]string
	selfChecks     bool
	logLevel       string
	qps            float32
	burst          int
}

func command() *cobra.Command {
	_, c := flagged()
	return c
}

// flagged returns the command with the options that its flags set.
func flagged() (*options, *cobra.Command) {
	o := &options{}
	c := &cobra.Command{
		Use:           "operator",
		Short:         "Installs and looks after the meshes that MeshOperator objects describe",
		Version:       revision.Version,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(c *cobra.Command, _ []string) error { return o.run(c.Context()) },
	}
	f := c.Flags()
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig file; empty: the pod's service account")
	f.StringVar(&o.namespace, "namespace", "", "namespace of the leader's lease; empty: the pod's own")
	f.StringVar(&o.metricsAddress, "metrics-address", ":8443", "HTTPS /metrics, authorised by the API server; 0: not served")
	f.StringVar(&o.probeAddress, "probe-address", ":8081", "HTTP /healthz and /readyz")
	f.BoolVar(&o.leaderElect, "leader-elect", true, "elect one of several replicas to act")
	f.StringVar(&o.registry, "image-registry", "ghcr.io/meshwright", "registry of images, where a MeshOperator names none")
	f.StringVar(&o.tag, "image-tag", "", "tag of images, where a MeshOperator names none; empty: the version")
	f.StringToStringVar(&o.digests, "image-digest", nil, "digests of those images, as controlplane=sha256:... and proxy=sha256:...")
	f.BoolVar(&o.selfChecks, "self-checks", true, "ask what was installed whether it answers before it counts as ready; false where the operator does not reach pods")
	f.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	f.Float32Var(&o.qps, "kube-api-qps", 50, "requests a second to the API server")
	f.IntVar(&o.burst, "kube-api-burst", 100, "requests at once to the API server")
	return o, c
}

func (o options) run(ctx context.Context) error {
	logger, err := newLogger(o.logLevel)
	if err != nil {
		return err
	}
	ctrl.SetLogger(logger)
	platform, err := o.platform()
	if err != nil {
		return err
	}
	config, err := o.config()
	if err != nil {
		return err
	}
	carried, err := helm.Load(charts.Files)
	if err != nil {
		return err
	}
	mgr, err := o.newManager(config)
	if err != nil {
		return err
	}
	version, err := serverVersion(config)
	if err != nil {
		return err
	}
	if platform.Name, err = detect(ctx, config, version); err != nil {
		return err
	}
	if err := o.setUp(ctx, mgr, carried, version, platform); err != nil {
		return err
	}
	log.Log.Info("starting", "version", revision.Version, "kubernetes", version, "platform", platform.Name)
	return mgr.Start(ctx)
}

// setUp adds the controllers to a manager.
func (o options) setUp(ctx context.Context, mgr ctrl.Manager, carried *helm.Charts, version string, platform revision.Platform) error {
	self, err := owner.Operator(ctx, mgr.GetClient(), mgr.GetAPIReader())
	if err != nil {
		return fmt.Errorf("find what stands for this operator: %w", err)
	}
	if o.leaderElect {
		if err := mgr.Add(&owner.Lease{Client: mgr.GetClient(), Reader: mgr.GetAPIReader(), Name: apply.Manager}); err != nil {
			return fmt.Errorf("set up the lease's owner: %w", err)
		}
	}
	applier := &apply.Applier{Client: mgr.GetClient(), Reader: mgr.GetAPIReader(), Clock: clock.RealClock{}}
	installer := &meshrevision.Reconciler{
		Client: mgr.GetClient(), Reader: mgr.GetAPIReader(), Applier: applier, Charts: carried,
		KubeVersion: version, Events: mgr.GetEventRecorder(apply.Manager), Operator: self,
	}
	for _, collector := range meshrevision.Collectors() {
		if err := metrics.Registry.Register(collector); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	if o.selfChecks {
		installer.Prober = &selfcheck.Prober{Client: mgr.GetClient(), Reader: mgr.GetAPIReader()}
	}
	if err := installer.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("set up the MeshRevision controller: %w", err)
	}
	tagger := &meshrevisiontag.Reconciler{
		Client: mgr.GetClient(), Reader: mgr.GetAPIReader(), Applier: applier, Charts: carried,
		KubeVersion: version, Events: mgr.GetEventRecorder(apply.Manager),
	}
	if o.selfChecks {
		tagger.Prober = &selfcheck.Prober{Client: mgr.GetClient()}
	}
	if err := tagger.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("set up the MeshRevisionTag controller: %w", err)
	}
	resolver := &meshoperator.Reconciler{
		Client: mgr.GetClient(), Reader: mgr.GetAPIReader(), Platform: platform, Clock: clock.RealClock{},
		Rollouts: &rollout.Watch{Config: mgr.GetConfig(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper()},
		Events:   mgr.GetEventRecorder(apply.Manager),
		Operator: self,
	}
	if o.selfChecks {
		resolver.Prober = &selfcheck.Prober{Client: mgr.GetClient(), Reader: mgr.GetAPIReader()}
	}
	if err := resolver.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("set up the MeshOperator controller: %w", err)
	}
	if name := os.Getenv(operatorcondition.NameVariable); name != "" {
		if err := operatorcondition.SetupWithManager(mgr); err != nil {
			return fmt.Errorf("set up the controller of OperatorCondition %s: %w", name, err)
		}
	}
	converter := &istiooperator.Reconciler{Client: mgr.GetClient(), Reader: mgr.GetAPIReader(), Events: mgr.GetEventRecorder(apply.Manager)}
	if err := converter.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("set up the IstioOperator controller: %w", err)
	}
	return nil
}

func (o options) newManager(config *rest.Config) (ctrl.Manager, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("build scheme: %w", err)
		}
	}
	owned, err := meshrevision.Caches()
	if err != nil {
		return nil, fmt.Errorf("build cache options: %w", err)
	}
	injected, err := meshoperator.Caches()
	if err != nil {
		return nil, fmt.Errorf("build cache options: %w", err)
	}
	maps.Copy(owned, injected)
	lease, err := o.lease(config)
	if err != nil {
		return nil, err
	}
	grace := 20 * time.Second
	leaseDuration, renewDeadline, retryPeriod := leaseDuration, renewDeadline, retryPeriod
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme,
		Cache:  cache.Options{ByObject: owned, DefaultTransform: cache.TransformStripManagedFields()},
		Client: client.Options{Cache: &client.CacheOptions{Unstructured: true}},
		Metrics: metricsserver.Options{
			BindAddress: o.metricsAddress, SecureServing: true,
			FilterProvider: filters.WithAuthenticationAndAuthorization,
			TLSOpts:        []func(*tls.Config){func(c *tls.Config) { c.MinVersion = tls.VersionTLS12 }},
		},
		HealthProbeBindAddress:              o.probeAddress,
		LeaderElection:                      o.leaderElect,
		LeaderElectionID:                    apply.Manager,
		LeaderElectionNamespace:             o.namespace,
		LeaderElectionReleaseOnCancel:       true,
		LeaderElectionResourceLockInterface: lease,
		LeaseDuration:                       &leaseDuration,
		RenewDeadline:                       &renewDeadline,
		RetryPeriod:                         &retryPeriod,
		GracefulShutdownTimeout:             &grace,
	})
	if err != nil {
		return nil, fmt.Errorf("set up: %w", err)
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return nil, fmt.Errorf("add health check: %w", err)
	}
	if err := mgr.AddReadyzCheck("ping", healthz.Ping); err != nil {
		return nil, fmt.Errorf("add readiness check: %w", err)
	}
	return mgr, nil
}

// platform is what the flags say of images.
func (o options) platform() (revision.Platform, error) {
	out := revision.Platform{Registry: o.registry, Tag: o.tag}
	for image, digest := range o.digests {
		if !digestPattern.MatchString(digest) {
			return revision.Platform{}, fmt.Errorf("--image-digest: %s=%s: want sha256: and 64 hexadecimal digits", image, digest)
		}
		switch image {
		case "controlplane":
			out.Digests.ControlPlane = v1alpha1.Digest(digest)
		case "proxy":
			out.Digests.Proxy = v1alpha1.Digest(digest)
		case "cni":
			out.Digests.CNI = v1alpha1.Digest(digest)
		default:
			return revision.Platform{}, fmt.Errorf("--image-digest: no image %q: there are controlplane, proxy and cni", image)
		}
	}
	return out, nil
}

func (o options) config() (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read access to the API server: %w; give --kubeconfig outside a cluster", err)
	}
	config.QPS, config.Burst = o.qps, o.burst
	return config, nil
}

func newLogger(level string) (logr.Logger, error) {
	parsed, err := zapcore.ParseLevel(level)
	if err != nil {
		return logr.Discard(), fmt.Errorf("--log-level: %w", err)
	}
	return zap.New(zap.Level(parsed), zap.UseDevMode(false), zap.StacktraceLevel(zapcore.PanicLevel)), nil
}

// serverVersion asks the API server; when it does not answer, the kubelet starts
// the operator again.
func serverVersion(config *rest.Config) (string, error) {
	asker, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return "", fmt.Errorf("make discovery client: %w", err)
	}
	info, err := asker.ServerVersion()
	if err != nil {
		return "", fmt.Errorf("ask the API server's version: %w", err)
	}
	return info.GitVersion, nil
}
