// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net/netip"
	"os"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/meshwright/meshwright/internal/agent"
	"github.com/meshwright/meshwright/internal/agent/machine"
	"github.com/meshwright/meshwright/internal/agent/node"
)

// machineFlags are those of a machine outside of Kubernetes.
type machineFlags struct {
	proxyFlags
	file    string
	address string
}

func machineCommand() *cobra.Command {
	f := &machineFlags{}
	cmd := &cobra.Command{
		Use:   "machine",
		Short: "Run Envoy beside an application on a machine outside of Kubernetes",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	flags := cmd.Flags()
	f.bind(flags)
	flags.StringVar(&f.file, "config", "/etc/meshwright/machine.yaml", "what holds for the machines of the group")
	flags.StringVar(&f.address, "address", "", "IP address by which others reach this machine; empty: that from which it calls the control plane")
	flags.StringVar(&f.config.TokenFile, "token-file", "/etc/meshwright/token", "service account token for the control plane")
	flags.StringVar(&f.config.RootFile, "root-file", "/etc/meshwright/root-cert.pem", "root certificates of the mesh")
	return cmd
}

func (f *machineFlags) run(cmd *cobra.Command) error {
	log, err := logger(f.agentLogLevel)
	if err != nil {
		return err
	}
	file, err := machine.Read(f.file)
	if err != nil {
		return err
	}
	addr, err := f.own(&file)
	if err != nil {
		return err
	}
	c := &f.config
	c.Pod, c.Health = file.Pod(addr, version), file.Probe
	c.DiscoveryAddress, c.TrustDomain = file.DiscoveryAddress, file.TrustDomain
	if c.Concurrency, err = node.Concurrency(c.Pod.Role, c.Concurrency, runtime.NumCPU(), os.DirFS("/sys/fs/cgroup")); err != nil {
		return err
	}
	if c.Pod.IPs, err = withIPv6(c.Pod.IPs); err != nil {
		return err
	}
	if c.PassthroughSource, err = passthroughSource(c.Pod); err != nil {
		return err
	}
	return agent.Run(cmd.Context(), *c, log)
}

func (f *machineFlags) own(file *machine.File) (netip.Addr, error) {
	if f.address == "" {
		return file.Address()
	}
	addr, err := netip.ParseAddr(f.address)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("--address: %q is no IP address", f.address)
	}
	return addr.Unmap().WithZone(""), nil
}
