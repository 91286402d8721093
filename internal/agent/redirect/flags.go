// SPDX-License-Identifier: Apache-2.0

// Package redirect reads how a pod's traffic goes to its proxy from the arguments
// of a container, writes the rules, and leaves a mark by which a process without
// any right can tell that they were written.
package redirect

import (
	"fmt"
	"slices"

	"github.com/spf13/pflag"

	"github.com/meshwright/meshwright/internal/agent/capture"
	"github.com/meshwright/meshwright/internal/ownport"
)

// Command is the first argument of a container that redirects, or that verifies.
const Command = "iptables"

// Flags say what is redirected.
type Flags struct {
	config                                           capture.Config
	inbound, excludeInbound                          string
	includeOutboundPorts, excludeOutboundPorts       string
	includeOutboundCIDRs, excludeOutboundCIDRs, ipv6 string
	excludeInterfaces                                string

	set *pflag.FlagSet
}

// Bind adds the flags to a set that is to be parsed. It may hold others.
func (f *Flags) Bind(to *pflag.FlagSet) {
	flags := pflag.NewFlagSet(Command, pflag.ContinueOnError)
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
	flags.StringVar(&f.ipv6, "ipv6", "auto", "capture IPv6: auto (when the pod has an address), on, off")
	f.set = flags
	to.AddFlagSet(flags)
}

// FromArguments reads the flags from the arguments of a container; those of
// others are left out.
func FromArguments(arguments []string) (*Flags, error) {
	if len(arguments) == 0 || arguments[0] != Command {
		return nil, fmt.Errorf("the first argument is not %s", Command)
	}
	f := &Flags{}
	set := pflag.NewFlagSet(Command, pflag.ContinueOnError)
	set.ParseErrorsAllowlist.UnknownFlags = true
	f.Bind(set)
	if err := set.Parse(arguments[1:]); err != nil {
		return nil, fmt.Errorf("read the arguments: %w", err)
	}
	return f, nil
}

// CapturesDNS tells whether queries to the pod's name servers are redirected.
func (f *Flags) CapturesDNS() bool { return f.config.DNSCapturePort != 0 }

// parse turns the list flags into the configuration; an error names its flag.
func (f *Flags) parse() error {
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
