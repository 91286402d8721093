// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"go.uber.org/zap/zapcore"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/meshwright/meshwright/internal/ca"
	"github.com/meshwright/meshwright/internal/inject"
)

// options are the flags; docs/controlplane.md explains them.
type options struct {
	kubeconfig        string
	namespace         string
	revision          string
	xdsAddress        string
	xdsPlaintext      string
	webhookAddress    string
	monitoringAddress string
	profilingAddress  string
	meshConfig        string
	clusterID         string
	clusterDomain     string
	network           string
	owner             string
	clusterRole       string
	proxyImage        string
	imagePullPolicy   string
	imagePullSecrets  []string
	cni               bool
	cniNetwork        string
	gatewayNamespaces []string
	certificateTTL    time.Duration
	leaderElect       bool
	shutdownGrace     time.Duration
	kubeQPS           float32
	kubeBurst         int
	logLevel          string
}

func defaultOptions() *options {
	return &options{
		namespace: "istio-system", revision: inject.DefaultRevision,
		xdsAddress: ":15012", webhookAddress: ":15017", monitoringAddress: ":15014",
		meshConfig: "/etc/meshwright/mesh/mesh", clusterID: "Kubernetes", clusterDomain: "cluster.local",
		imagePullPolicy: string(corev1.PullIfNotPresent), certificateTTL: ca.DefaultTTL, leaderElect: true,
		shutdownGrace: 15 * time.Second, kubeQPS: 100, kubeBurst: 200, logLevel: "info",
	}
}

func (o *options) bind(f *pflag.FlagSet) {
	f.StringVar(&o.kubeconfig, "kubeconfig", o.kubeconfig, "kubeconfig file; empty: the pod's service account")
	f.StringVar(&o.namespace, "namespace", o.namespace, "namespace of this control plane")
	f.StringVar(&o.revision, "revision", o.revision, "revision that this control plane serves")
	f.StringVar(&o.xdsAddress, "xds-address", o.xdsAddress, "address of gRPC over TLS; empty: not served")
	f.StringVar(&o.xdsPlaintext, "xds-plaintext-address", o.xdsPlaintext, "address of gRPC without TLS, for load tools; empty: not served")
	f.StringVar(&o.webhookAddress, "webhook-address", o.webhookAddress, "address of the webhooks and probes; empty: not served")
	f.StringVar(&o.monitoringAddress, "monitoring-address", o.monitoringAddress, "address of the metrics; empty: not served")
	f.StringVar(&o.profilingAddress, "profiling-address", o.profilingAddress, "loopback address of the runtime's profiles; empty: not served")
	f.StringVar(&o.meshConfig, "mesh-config", o.meshConfig, "file with the mesh's configuration; a missing file means the defaults")
	f.StringVar(&o.clusterID, "cluster-id", o.clusterID, "name of this cluster within the mesh")
	f.StringVar(&o.clusterDomain, "cluster-domain", o.clusterDomain, "DNS domain of the cluster's services")
	f.StringVar(&o.network, "network", o.network, "network of this cluster's pods")
	f.StringVar(&o.owner, "owner", o.owner, "NAME/UID of the MeshOperator that the root certificates go with; empty: --cluster-role")
	f.StringVar(&o.clusterRole, "cluster-role", o.clusterRole, "ClusterRole of this control plane, with which the root certificates go; empty: they stay")
	f.StringVar(&o.proxyImage, "proxy-image", o.proxyImage, "image of the injected containers; empty: no injection")
	f.StringVar(&o.imagePullPolicy, "image-pull-policy", o.imagePullPolicy, "pull policy of the injected containers")
	f.StringSliceVar(&o.imagePullSecrets, "image-pull-secrets", o.imagePullSecrets, "names of Secrets in the pods' namespaces with which the image is pulled")
	f.BoolVar(&o.cni, "cni", o.cni, "a CNI plugin redirects the traffic of injected pods, which then need no right to")
	f.StringVar(&o.cniNetwork, "cni-network", o.cniNetwork, "network attachment by which Multus calls the CNI plugin, NAMESPACE/NAME; empty: the plugin is in the cluster's own list")
	f.StringSliceVar(&o.gatewayNamespaces, "gateway-namespaces", o.gatewayNamespaces, "namespaces whose TLS secrets gateways may name (default: the value of --namespace)")
	f.DurationVar(&o.certificateTTL, "certificate-ttl", o.certificateTTL, "lifetime of a workload certificate")
	f.BoolVar(&o.leaderElect, "leader-elect", o.leaderElect, "elect the replica that writes to the cluster; off: this process does")
	f.DurationVar(&o.shutdownGrace, "shutdown-grace", o.shutdownGrace, "how long streams may drain after SIGTERM")
	f.Float32Var(&o.kubeQPS, "kube-api-qps", o.kubeQPS, "requests a second to the API server")
	f.IntVar(&o.kubeBurst, "kube-api-burst", o.kubeBurst, "burst of requests to the API server")
	f.StringVar(&o.logLevel, "log-level", o.logLevel, "debug, info, warn or error")
}

// complete fills in what depends on other flags and reports every wrong flag at once.
func (o *options) complete() error {
	var errs []error
	for name, value := range map[string]string{"namespace": o.namespace, "revision": o.revision} {
		if problems := validation.IsDNS1123Label(value); len(problems) > 0 {
			errs = append(errs, fmt.Errorf("--%s=%q: %s", name, value, strings.Join(problems, "; ")))
		}
	}
	if problems := validation.IsDNS1123Subdomain(o.clusterDomain); len(problems) > 0 {
		errs = append(errs, fmt.Errorf("--cluster-domain=%q: %s", o.clusterDomain, strings.Join(problems, "; ")))
	}
	if o.clusterID == "" {
		errs = append(errs, errors.New("--cluster-id must not be empty"))
	}
	for name, value := range map[string]string{
		"xds-address": o.xdsAddress, "xds-plaintext-address": o.xdsPlaintext,
		"webhook-address": o.webhookAddress, "monitoring-address": o.monitoringAddress,
	} {
		if _, _, err := net.SplitHostPort(value); value != "" && err != nil {
			errs = append(errs, fmt.Errorf("--%s=%q is not HOST:PORT: %w", name, value, err))
		}
	}
	if name, uid, ok := strings.Cut(o.owner, "/"); o.owner != "" && (!ok || name == "" || uid == "") {
		errs = append(errs, fmt.Errorf("--owner=%q is not NAME/UID", o.owner))
	}
	if o.profilingAddress != "" && !loopback(o.profilingAddress) {
		errs = append(errs, fmt.Errorf("--profiling-address=%q is not HOST:PORT on the loopback interface", o.profilingAddress))
	}
	if o.certificateTTL < ca.MinTTL || o.certificateTTL > ca.MaxTTL {
		errs = append(errs, fmt.Errorf("--certificate-ttl=%s is not between %s and %s", o.certificateTTL, ca.MinTTL, ca.MaxTTL))
	}
	if o.shutdownGrace < 0 || o.kubeQPS <= 0 || o.kubeBurst <= 0 {
		errs = append(errs, errors.New("--shutdown-grace, --kube-api-qps and --kube-api-burst must be positive"))
	}
	if _, err := o.level(); err != nil {
		errs = append(errs, err)
	}
	if len(o.gatewayNamespaces) == 0 {
		o.gatewayNamespaces = []string{o.namespace}
	}
	slices.Sort(o.gatewayNamespaces)
	o.gatewayNamespaces = slices.Compact(o.gatewayNamespaces)
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

func (o *options) level() (zapcore.Level, error) {
	level, err := zapcore.ParseLevel(o.logLevel)
	if err != nil || level > zapcore.ErrorLevel {
		return level, fmt.Errorf("--log-level=%q is none of debug, info, warn, error", o.logLevel)
	}
	return level, nil
}

// name of the Deployment, Service, ServiceAccount of this revision; also the suffix of other names.
func (o *options) name() string { return "meshwright" + o.suffix() }

func (o *options) suffix() string { return suffixOf(o.revision) }

func suffixOf(revision string) string {
	if revision == inject.DefaultRevision {
		return ""
	}
	return "-" + revision
}

// serverName is the DNS name under which pods and the API server reach this control plane.
func (o *options) serverName() string { return o.serverNameOf(o.revision) }

// serverNameOf is that of another revision in the same namespace.
func (o *options) serverNameOf(revision string) string {
	return "meshwright" + suffixOf(revision) + "." + o.namespace + ".svc"
}

func (o *options) serverNames() []string {
	return []string{o.serverName(), o.serverName() + "." + o.clusterDomain, o.name() + "." + o.namespace, o.name(), "localhost"}
}
