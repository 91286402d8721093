// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/meshwright/meshwright/internal/agent/redirect"
	"github.com/meshwright/meshwright/internal/agent/resolvconf"
)

// errUnmarked says that the node has not done what the pod counts on.
var errUnmarked = errors.New("this pod's traffic is not redirected to its proxy: no CNI plugin of the mesh was at work on this node when the pod started; " +
	"delete the pod to start it anew, and see whether the DaemonSet meshwright-cni is ready on the node")

type iptablesFlags struct {
	redirect.Flags
	resolvConf     string
	dryRun, verify bool
}

func iptablesCommand() *cobra.Command {
	f := &iptablesFlags{}
	cmd := &cobra.Command{
		Use:   redirect.Command,
		Short: "Redirect the pod's traffic to its proxy",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.Bind(cmd.Flags())
	flags := cmd.Flags()
	flags.StringVar(&f.resolvConf, "resolv-conf", resolvconf.Path, "file with the name servers of the pod")
	flags.BoolVar(&f.dryRun, "dry-run", false, "print the rules and change nothing")
	flags.BoolVar(&f.verify, "verify", false, "tell whether the CNI plugin has written these rules, and change nothing; needs no right")
	return cmd
}

func (f *iptablesFlags) run(cmd *cobra.Command) error {
	if f.verify {
		marked, err := f.Marked()
		if err == nil && !marked {
			err = errUnmarked
		}
		return err
	}
	var servers []netip.Addr
	if f.CapturesDNS() {
		resolver, err := resolvconf.Read(f.resolvConf)
		if err != nil {
			return err
		}
		servers = resolver.Servers
	}
	results, err := f.Apply(cmd.Context(), servers, f.dryRun)
	if err != nil {
		return err
	}
	for _, r := range results {
		switch {
		case f.dryRun:
			fmt.Fprintf(cmd.OutOrStdout(), "# %s\n%s", r.Family, r.Rules)
		case r.Changed:
			fmt.Fprintf(cmd.OutOrStdout(), "%s rules written:\n%s", r.Family, r.Rules)
		default:
			fmt.Fprintf(cmd.OutOrStdout(), "%s rules are in place already\n", r.Family)
		}
	}
	return nil
}
