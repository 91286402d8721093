// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/meshwright/meshwright/internal/agent/capture"
	"github.com/meshwright/meshwright/internal/agent/resolvconf"
	"github.com/meshwright/meshwright/internal/ownport"
)

type iptablesFlags struct {
	config                                           capture.Config
	inbound, excludeInbound                          string
	includeOutboundPorts, excludeOutboundPorts       string
	includeOutboundCIDRs, excludeOutboundCIDRs, ipv6 string
	resolvConf, excludeInterfaces                    string
	dryRun                                           bool
}

func iptablesCommand() *cobra.Command {
	f := &iptablesFlags{}
	cmd := &cobra.Command{
		Use:   "iptables",
		Short: "Redirect the pod's traffic to its proxy",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	flags := cmd.Flags()
	flags.Uint16Var(&f.config.InboundCapturePort, "inbound-capture-port", ownport.Inbound, "where connections to the pod go")
	flags.Uint16Var(&f.config.OutboundCapturePort, "outbound-capture-port", ownport.Outbound, "where connections of the application go")
	flags.Uint32Var(&f.config.ProxyUID, "proxy-uid", 1337, "user of the proxy, never captured")
	flags.Uint32Var(&f.config.ProxyGID, "proxy-gid", 1337, "group of the proxy, never captured")
	flags.StringVar(&f.inbound, "inbound-ports", "*", "ports of the pod to capture, comma-separated; * is all, empty none")
	flags.StringVar(&f.excludeInbound, "exclude-inbound-ports", ownport.UncapturedList(), "ports of the pod never to capture; 15020 and 15021 are always among them")
	flags.StringVar(&f.includeOutboundPorts, "include-outbound-ports", "", "destination ports to capture even outside --include-outbound-cidrs")
	flags.StringVar(&f.excludeOutboundPorts, "exclude-outbound-ports", "", "destination ports never to capture")
	flags.StringVar(&f.includeOutboundCIDRs, "include-outbound-cidrs", "*", "destinations to capture, comma-separated; * is all, empty none")
	flags.StringVar(&f.excludeOutboundCIDRs, "exclude-outbound-cidrs", "", "destinations never to capture")
	flags.StringVar(&f.excludeInterfaces, "exclude-interfaces", "", "network interfaces whose traffic is never captured")
	flags.Uint16Var(&f.config.DNSCapturePort, "dns-capture-port", 0, "where the application's queries to the pod's name servers go; 0 leaves them alone")
	flags.StringVar(&f.resolvConf, "resolv-conf", resolvconf.Path, "file with the name servers of the pod")
	flags.StringVar(&f.ipv6, "ipv6", "auto", "capture IPv6: auto (when the pod has an address), on, off")
	flags.BoolVar(&f.dryRun, "dry-run", false, "print the rules and change nothing")
	return cmd
}

func (f *iptablesFlags) run(cmd *cobra.Command) error {
	if err := f.parse(); err != nil {
		return err
	}
	if f.config.DNSCapturePort != 0 {
		resolver, err := resolvconf.Read(f.resolvConf)
		if err != nil {
			return err
		}
		f.config.DNSServers = resolver.Servers
	}
	options := capture.Options{DryRun: f.dryRun}
	switch f.ipv6 {
	case "auto":
		_, has, err := capture.IPv6Address()
		if err != nil {
			return err
		}
		options.IPv6 = has
	case "on":
		options.IPv6 = true
	case "off":
	default:
		return fmt.Errorf("--ipv6 %q is none of auto, on, off", f.ipv6)
	}
	results, err := capture.Apply(cmd.Context(), f.config, options)
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

// parse turns the list flags into the configuration; an error names its flag.
func (f *iptablesFlags) parse() error {
	c := &f.config
	var allExcluded bool
	var err error
	ports := func(flag, value string, all *bool, out *[]uint16) {
		if err == nil {
			if *all, *out, err = capture.ParsePorts(value); err != nil {
				err = fmt.Errorf("--%s: %w", flag, err)
			} else if *all && all == &allExcluded {
				err = fmt.Errorf("--%s: %q would exclude everything; use an empty include list for that", flag, capture.All)
			}
		}
	}
	ports("inbound-ports", f.inbound, &c.AllInboundPorts, &c.InboundPorts)
	ports("exclude-inbound-ports", f.excludeInbound, &allExcluded, &c.ExcludeInboundPorts)
	ports("include-outbound-ports", f.includeOutboundPorts, &allExcluded, &c.IncludeOutboundPorts)
	ports("exclude-outbound-ports", f.excludeOutboundPorts, &allExcluded, &c.ExcludeOutboundPorts)
	if err != nil {
		return err
	}
	if c.ExcludeInterfaces, err = capture.ParseInterfaces(f.excludeInterfaces); err != nil {
		return fmt.Errorf("--exclude-interfaces: %w", err)
	}
	c.ExcludeInboundPorts = append(c.ExcludeInboundPorts, ownport.Uncaptured()...)
	slices.Sort(c.ExcludeInboundPorts)
	c.ExcludeInboundPorts = slices.Compact(c.ExcludeInboundPorts)
	if c.AllOutbound, c.IncludeOutboundCIDRs, err = capture.ParseCIDRs(f.includeOutboundCIDRs); err != nil {
		return fmt.Errorf("--include-outbound-cidrs: %w", err)
	}
	if allExcluded, c.ExcludeOutboundCIDRs, err = capture.ParseCIDRs(f.excludeOutboundCIDRs); err != nil {
		return fmt.Errorf("--exclude-outbound-cidrs: %w", err)
	}
	if allExcluded {
		return fmt.Errorf("--exclude-outbound-cidrs: %q would exclude everything; use an empty include list for that", capture.All)
	}
	return nil
}
