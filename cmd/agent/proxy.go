// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/meshwright/meshwright/internal/agent"
	"github.com/meshwright/meshwright/internal/agent/capture"
	"github.com/meshwright/meshwright/internal/agent/metric"
	"github.com/meshwright/meshwright/internal/agent/node"
	"github.com/meshwright/meshwright/internal/agent/probe"
	"github.com/meshwright/meshwright/internal/agent/resolvconf"
	"github.com/meshwright/meshwright/internal/ownport"
)

type proxyFlags struct {
	config        agent.Config
	role          string
	podInfoDir    string
	agentLogLevel string
}

func proxyCommand() *cobra.Command {
	f := &proxyFlags{}
	cmd := &cobra.Command{
		Use:   "proxy",
		Short: "Run Envoy beside an application or as a gateway",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	c, flags := &f.config, cmd.Flags()
	f.bind(flags)
	flags.StringVar(&f.role, "role", string(node.Sidecar), "sidecar or router")
	flags.StringVar(&c.DiscoveryAddress, "discovery-address", "meshwright.istio-system.svc:15012", "HOST:PORT of the control plane")
	flags.StringVar(&c.TrustDomain, "trust-domain", "cluster.local", "trust domain of the mesh")
	flags.StringVar(&c.Pod.ClusterID, "cluster-id", "Kubernetes", "name of the cluster in the mesh")
	flags.StringVar(&c.Pod.Network, "network", "", "network of the pod")
	flags.StringVar(&c.Pod.ClusterDomain, "cluster-domain", "cluster.local", "DNS domain of the cluster")
	flags.StringVar(&c.Pod.WorkloadName, "workload-name", "", "name of the pod's owner; the pod's name when empty")
	flags.StringVar(&f.podInfoDir, "pod-info-dir", "/etc/meshwright/pod", "downward API volume with labels and annotations")
	flags.StringVar(&c.TokenFile, "token-file", "/var/run/secrets/tokens/istio-token", "service account token for the control plane")
	flags.StringVar(&c.RootFile, "root-file", "/var/run/secrets/meshwright/root-cert.pem", "root certificates of the mesh")
	return cmd
}

// bind adds what pods and machines have in common.
func (f *proxyFlags) bind(flags *pflag.FlagSet) {
	c := &f.config
	flags.DurationVar(&c.DrainLimit, "drain-duration", 45*time.Second, "longest time from SIGTERM to exit")
	flags.DurationVar(&c.DrainMinimum, "minimum-drain-duration", 5*time.Second, "shortest time from SIGTERM to exit of a router")
	flags.IntVar(&c.Concurrency, "concurrency", 0, "worker threads of Envoy; 0 goes by the CPU limit, -1 is one for each CPU")
	flags.StringVar(&c.LogLevel, "log-level", "warning", "log level of Envoy")
	flags.StringVar(&c.ComponentLogLevel, "component-log-level", "", "log levels of components of Envoy, COMPONENT:LEVEL,...")
	flags.StringVar(&f.agentLogLevel, "agent-log-level", "info", "log level of the agent: debug, info, warn, error")
	flags.Int64Var(&c.MaxConnections, "max-downstream-connections", 0, "connections that Envoy accepts; 0 is half of the file descriptor limit")
	flags.DurationVar(&c.CertificateTTL, "certificate-ttl", 24*time.Hour, "lifetime of certificates to ask for")
	flags.StringVar(&c.EnvoyPath, "envoy", "/usr/local/bin/envoy", "path of the Envoy binary")
	flags.StringVar(&c.AdminAddress, "admin-address", "127.0.0.1:"+strconv.Itoa(ownport.Admin), "address of Envoy's admin interface")
	flags.StringVar(&c.StatusAddress, "status-address", ":"+strconv.Itoa(ownport.Status), "address of metrics and application probes")
	flags.StringVar(&c.ReadinessAddress, "readiness-address", ":"+strconv.Itoa(ownport.Readiness), "address of readiness")
	flags.Uint16Var(&c.DNSPort, "dns-port", 0, "loopback port to answer the application's DNS queries at; 0 is off")
	flags.StringVar(&c.ResolvConf, "resolv-conf", resolvconf.Path, "file with the name servers of the pod")
	flags.StringVar(&c.StateDir, "state-dir", "/var/run/meshwright", "private directory for the bootstrap and the SDS socket")
}

func (f *proxyFlags) run(cmd *cobra.Command) error {
	log, err := logger(f.agentLogLevel)
	if err != nil {
		return err
	}
	if err := f.readPod(); err != nil {
		return err
	}
	c := &f.config
	c.Concurrency, err = node.Concurrency(c.Pod.Role, c.Concurrency, runtime.NumCPU(), os.DirFS("/sys/fs/cgroup"))
	if err != nil {
		return err
	}
	if c.Probes, err = probe.Parse(os.Getenv(probe.Env)); err != nil {
		return err
	}
	if c.AppMetrics, err = metric.ParseApp(os.Getenv(metric.AppEnv), c.Pod.IPs[0].String()); err != nil {
		return err
	}
	c.PrestopToken = os.Getenv("PRESTOP_TOKEN")
	if c.Pod.Role == node.Sidecar {
		if c.PassthroughSource, err = passthroughSource(c.Pod); err != nil {
			return err
		}
	}
	return agent.Run(cmd.Context(), *c, log)
}

// readPod fills in what the downward API says.
func (f *proxyFlags) readPod() error {
	p := &f.config.Pod
	role, err := node.ParseRole(f.role)
	if err != nil {
		return fmt.Errorf("--role: %w", err)
	}
	p.Role, p.ProxyVersion = role, version
	p.Name, p.Namespace = os.Getenv("POD_NAME"), os.Getenv("POD_NAMESPACE")
	p.ServiceAccount, p.NodeName = os.Getenv("SERVICE_ACCOUNT"), os.Getenv("NODE_NAME")
	if p.IPs, err = node.ParseIPs(os.Getenv("POD_IPS"), os.Getenv("POD_IP")); err != nil {
		return err
	}
	if p.IPs, err = withIPv6(p.IPs); err != nil {
		return err
	}
	if p.Labels, p.Annotations, err = node.ReadInfo(f.podInfoDir); err != nil {
		return err
	}
	if p.Metadata, err = node.ReadMetadata(os.Environ()); err != nil {
		return err
	}
	return p.Validate()
}

// withIPv6 adds the address for which `agent iptables` captures IPv6, where nobody told of one: what is captured and what
// the proxy listens on must not differ.
func withIPv6(addresses []netip.Addr) ([]netip.Addr, error) {
	if len(addresses) == 0 || slices.ContainsFunc(addresses, netip.Addr.Is6) {
		return addresses, nil
	}
	addr, ok, err := capture.IPv6Address()
	if err != nil || !ok {
		return addresses, err
	}
	return append(addresses, addr), nil
}

// passthroughSource is the address from which connections to the application are not captured; nil where none are.
func passthroughSource(p node.Pod) (net.IP, error) {
	if p.IPs[0].Is4() {
		return net.ParseIP(capture.PassthroughIPv4), nil
	}
	captured, err := capture.HasPassthroughIPv6()
	if err != nil || !captured {
		return nil, err
	}
	return net.ParseIP(capture.PassthroughIPv6), nil
}
