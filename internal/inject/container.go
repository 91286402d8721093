// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/meshwright/meshwright/internal/agent/metric"
	"github.com/meshwright/meshwright/internal/agent/probe"
	"github.com/meshwright/meshwright/internal/agent/redirect"
	"github.com/meshwright/meshwright/internal/ownport"
	"github.com/meshwright/meshwright/internal/placement"
)

// Names of the injected containers, which tools look for. VerifyContainer takes InitContainer's place where a CNI plugin
// redirects.
const (
	InitContainer   = "istio-init"
	VerifyContainer = redirect.VerifyContainer
	ProxyContainer  = "istio-proxy"
)

const (
	// proxyID is uid and gid of the proxy, which the redirect rules exempt.
	proxyID = int64(1337)
	// readyPath answers once the proxy has its first configuration.
	readyPath = "/healthz/ready"
	// readyPeriod and readyFailures are the readiness probe's unless the pod says otherwise.
	readyPeriod   = 15
	readyFailures = 4
	// metricsPath serves the metrics of proxy and application together.
	metricsPath = "/stats/prometheus"
	// startupTries, one a second, is how long a proxy may wait for the control plane before the kubelet restarts it.
	startupTries = 600
	// longestDrain is how long a stopping proxy serves what is under way; drainMargin is left of the pod's grace period
	// for the proxy to exit by itself.
	longestDrain = int64(45)
	drainMargin  = int64(5)
	// autoImage in an override means the image that would have been injected.
	autoImage = "auto"
)

// subject is one pod with what has been read from it.
type subject struct {
	config  Config
	pod     *corev1.Pod
	labels  map[string]string // of the namespace
	options options
	probes  probe.Set
	app     *metric.App
	prestop string // token of the hook; empty without one
}

func (s subject) image() string {
	if s.options.image != "" {
		return s.options.image
	}
	return s.config.Image
}

func (s subject) network() string {
	const label = "topology.istio.io/network"
	if v := s.pod.Labels[label]; v != "" {
		return v
	}
	if v := s.labels[label]; v != "" {
		return v
	}
	return s.config.Network
}

// verifyContainer tells whether the CNI plugin has redirected the pod's traffic as it says. It needs no right.
func (s subject) verifyContainer() corev1.Container {
	return corev1.Container{
		Name:            VerifyContainer,
		Image:           s.image(),
		ImagePullPolicy: s.config.PullPolicy,
		Args:            append(s.iptables(), redirect.Verify),
		Resources:       s.options.resources,
		SecurityContext: unprivileged(),
	}
}

// initContainer redirects the pod's traffic to the proxy. It needs root and the network capabilities for the moment
// that this takes, and nothing else.
func (s subject) initContainer() corev1.Container {
	if s.config.CNI {
		return s.verifyContainer()
	}
	return corev1.Container{
		Name:            InitContainer,
		Image:           s.image(),
		ImagePullPolicy: s.config.PullPolicy,
		Args:            s.iptables(),
		Resources:       s.options.resources,
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: new(false),
			Privileged:               new(false),
			ReadOnlyRootFilesystem:   new(true),
			RunAsNonRoot:             new(false),
			RunAsUser:                new(int64(0)),
			RunAsGroup:               new(int64(0)),
			Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}, Add: []corev1.Capability{"NET_ADMIN", "NET_RAW"}},
			SeccompProfile:           &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
	}
}

// iptables is the arguments of the redirection; what is rarely used is there only if it is.
func (s subject) iptables() []string {
	o := s.options
	args := []string{
		"iptables",
		"--inbound-capture-port=" + strconv.Itoa(ownport.Inbound),
		"--outbound-capture-port=" + strconv.Itoa(ownport.Outbound),
		"--inbound-ports=" + o.inboundPorts,
		"--exclude-inbound-ports=" + o.excludeInboundPorts,
		"--exclude-outbound-ports=" + o.excludeOutboundPorts,
		"--include-outbound-cidrs=" + o.outboundCIDRs,
		"--exclude-outbound-cidrs=" + o.excludeOutboundCIDRs,
	}
	if o.outboundPorts != "" {
		args = append(args, "--include-outbound-ports="+o.outboundPorts)
	}
	if o.excludeInterfaces != "" {
		args = append(args, "--exclude-interfaces="+o.excludeInterfaces)
	}
	if o.dnsCapture() {
		args = append(args, "--dns-capture-port="+strconv.Itoa(ownport.DNS))
	}
	return args
}

// proxy is the arguments of the agent; what is rarely used is there only if it is.
func (s subject) proxy() []string {
	o := s.options
	args := []string{
		"proxy",
		"--role=sidecar",
		"--discovery-address=" + s.config.DiscoveryAddress,
		"--trust-domain=" + s.config.TrustDomain,
		"--cluster-id=" + s.config.ClusterID,
		"--network=" + s.network(),
		"--cluster-domain=" + s.config.ClusterDomain,
		"--workload-name=" + placement.Of(s.pod).Name,
		"--drain-duration=" + s.drain(),
		"--concurrency=" + s.concurrency(),
		"--log-level=" + o.logLevel,
	}
	if o.componentLogLevel != "" {
		args = append(args, "--component-log-level="+o.componentLogLevel)
	}
	if o.agentLogLevel != "" {
		args = append(args, "--agent-log-level="+o.agentLogLevel)
	}
	if o.dnsCapture() {
		args = append(args, "--dns-port="+strconv.Itoa(ownport.DNS))
	}
	return args
}

// concurrency is what the agent takes: 0 goes by the CPU limit, below 0 is one for each CPU.
func (s subject) concurrency() string {
	switch wanted := s.options.settings.Concurrency; {
	case wanted == nil:
		return "0"
	case *wanted == 0:
		return "-1"
	default:
		return strconv.Itoa(int(*wanted))
	}
}

// proxyContainer is the native sidecar. Its startup probe holds back every container after it until the proxy serves.
func (s subject) proxyContainer() (corev1.Container, error) {
	env, err := s.env()
	if err != nil {
		return corev1.Container{}, err
	}
	times := s.options.readiness
	ready := corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: readyPath, Port: intstr.FromInt32(ownport.Readiness)}}
	return corev1.Container{
		Name:            ProxyContainer,
		Image:           s.image(),
		ImagePullPolicy: s.config.PullPolicy,
		RestartPolicy:   new(corev1.ContainerRestartPolicyAlways),
		Args:            s.proxy(),
		Env:             env,
		Ports:           []corev1.ContainerPort{{Name: "http-envoy-prom", ContainerPort: ownport.Status, Protocol: corev1.ProtocolTCP}},
		Resources:       s.options.resources,
		VolumeMounts:    append(mounts(), s.options.mounts...),
		StartupProbe:    &corev1.Probe{ProbeHandler: ready, PeriodSeconds: 1, TimeoutSeconds: 3, FailureThreshold: startupTries},
		ReadinessProbe: &corev1.Probe{
			ProbeHandler: ready, InitialDelaySeconds: times.delay, PeriodSeconds: times.period, TimeoutSeconds: 3,
			FailureThreshold: times.failures,
		},
		SecurityContext: unprivileged(),
	}, nil
}

// unprivileged is what the Pod Security Standard restricted takes.
func unprivileged() *corev1.SecurityContext {
	return &corev1.SecurityContext{
		AllowPrivilegeEscalation: new(false),
		Privileged:               new(false),
		ReadOnlyRootFilesystem:   new(true),
		RunAsNonRoot:             new(true),
		RunAsUser:                new(proxyID),
		RunAsGroup:               new(proxyID),
		Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		SeccompProfile:           &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
}

// drain fits into what the pod's grace period leaves: a drain that is cut off by SIGKILL resets connections.
func (s subject) drain() string {
	grace := int64(corev1.DefaultTerminationGracePeriodSeconds)
	if g := s.pod.Spec.TerminationGracePeriodSeconds; g != nil {
		grace = *g
	}
	return strconv.FormatInt(max(1, min(s.wantedDrain(), grace-drainMargin)), 10) + "s"
}

func (s subject) wantedDrain() int64 {
	if d := s.options.settings.Drain; d > 0 {
		return int64(d / time.Second)
	}
	return longestDrain
}

func (s subject) env() ([]corev1.EnvVar, error) {
	field := func(name, path string) corev1.EnvVar {
		return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: path}}}
	}
	out := []corev1.EnvVar{
		field("POD_NAME", "metadata.name"),
		field("POD_NAMESPACE", "metadata.namespace"),
		field("POD_IP", "status.podIP"),
		field("POD_IPS", "status.podIPs"),
		field("SERVICE_ACCOUNT", "spec.serviceAccountName"),
		field("NODE_NAME", "spec.nodeName"),
	}
	if len(s.probes) > 0 {
		text, err := s.probes.Encode()
		if err != nil {
			return nil, err
		}
		out = append(out, corev1.EnvVar{Name: probe.Env, Value: text})
	}
	if s.prestop != "" {
		out = append(out, corev1.EnvVar{Name: prestopEnv, Value: s.prestop})
	}
	if s.app != nil {
		text, err := s.app.Encode()
		if err != nil {
			return nil, err
		}
		out = append(out, corev1.EnvVar{Name: metric.AppEnv, Value: text})
	}
	for _, v := range s.options.settings.Variables() {
		out = append(out, corev1.EnvVar{Name: v.Name, Value: v.Value})
	}
	return out, nil
}

// merge lays the user's container of the same name over ours, field by field, as kubectl does for a patch. Name, place
// and restart policy stay ours, since the pod would not work otherwise.
func merge(ours corev1.Container, user *corev1.Container) (corev1.Container, error) {
	if user == nil {
		return ours, nil
	}
	over := user.DeepCopy()
	if over.Image == autoImage {
		// The API server made this policy up for the word "auto".
		over.Image, over.ImagePullPolicy = "", ""
	}
	base, err := json.Marshal(ours)
	if err != nil {
		return ours, fmt.Errorf("encode container %s: %w", ours.Name, err)
	}
	patch, err := json.Marshal(over)
	if err != nil {
		return ours, fmt.Errorf("encode the override of container %s: %w", ours.Name, err)
	}
	both, err := strategicpatch.StrategicMergePatch(base, patch, corev1.Container{})
	if err != nil {
		return ours, fmt.Errorf("merge the override of container %s: %w", ours.Name, err)
	}
	var out corev1.Container
	if err := json.Unmarshal(both, &out); err != nil {
		return ours, fmt.Errorf("merge the override of container %s: %w", ours.Name, err)
	}
	out.Name, out.RestartPolicy = ours.Name, ours.RestartPolicy
	return out, nil
}

// capturesNothing reports whether the rules would redirect nothing, so that no root container is needed.
func (o options) capturesNothing() bool {
	return o.inboundPorts == "" && o.outboundCIDRs == "" && o.outboundPorts == "" && !o.dnsCapture()
}
