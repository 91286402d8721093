// SPDX-License-Identifier: Apache-2.0

// Package capture redirects a pod's TCP traffic, and its DNS queries if wanted, to its proxy with netfilter rules in the
// pod's network namespace.
//
// All rules live in chains of our own, reached by jumps from the built-in chains. Those of one table are replaced as a
// whole by one iptables-restore transaction, which the kernel commits or drops, so a process that is killed at any moment
// leaves either the old rules or the new ones.
package capture

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// All stands for every port or address in the list flags.
const All = "*"

// Config says what to capture. The defaults of a sidecar are made by Default.
type Config struct {
	// InboundCapturePort is where connections to the pod go.
	InboundCapturePort uint16
	// OutboundCapturePort is where connections of the application go.
	OutboundCapturePort uint16
	// ProxyUID and ProxyGID own the proxy's own connections, which are never captured.
	ProxyUID, ProxyGID uint32
	// InboundPorts are captured: all (AllInboundPorts) or these only.
	AllInboundPorts bool
	InboundPorts    []uint16
	// ExcludeInboundPorts are never captured, whatever InboundPorts says.
	ExcludeInboundPorts []uint16
	// IncludeOutboundPorts are captured even to addresses outside IncludeOutboundCIDRs.
	IncludeOutboundPorts []uint16
	// ExcludeOutboundPorts are never captured.
	ExcludeOutboundPorts []uint16
	// IncludeOutboundCIDRs are captured: all (AllOutbound) or these only.
	AllOutbound          bool
	IncludeOutboundCIDRs []netip.Prefix
	// ExcludeOutboundCIDRs are never captured.
	ExcludeOutboundCIDRs []netip.Prefix
	// ExcludeInterfaces are network interfaces whose traffic is never captured.
	ExcludeInterfaces []string
	// DNSCapturePort is where the application's DNS queries to DNSServers go, by UDP and TCP; 0 leaves them alone. Queries
	// to other servers are the application's own choice, and a server or port that is excluded above is left alone too.
	DNSCapturePort uint16
	DNSServers     []netip.Addr
}

// dnsPort is where DNS servers listen.
const dnsPort = 53

// capturedServers are the DNS servers of a family, the queries to which are captured.
func (c Config) capturedServers(f family) []netip.Addr {
	if c.DNSCapturePort == 0 || slices.Contains(c.ExcludeOutboundPorts, dnsPort) {
		return nil
	}
	var out []netip.Addr
	for _, server := range c.DNSServers {
		excluded := slices.ContainsFunc(c.ExcludeOutboundCIDRs, func(block netip.Prefix) bool { return block.Contains(server) })
		if server.Is4() == f.is4 && server.Zone() == "" && !excluded {
			out = append(out, server)
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

// ParsePorts reads a comma-separated list of ports; "*" alone means all. Duplicates are dropped and the result is
// sorted, so that equal settings give equal rules.
func ParsePorts(list string) (all bool, ports []uint16, err error) {
	for _, field := range fields(list) {
		if field == All {
			all = true
			continue
		}
		port, err := strconv.ParseUint(field, 10, 16)
		if err != nil || port == 0 {
			return false, nil, fmt.Errorf("port %q is not a number between 1 and 65535", field)
		}
		ports = append(ports, uint16(port))
	}
	if all && len(ports) > 0 {
		return false, nil, fmt.Errorf("%q cannot be combined with other ports in %q", All, list)
	}
	slices.Sort(ports)
	return all, slices.Compact(ports), nil
}

// interfaceForm is what the kernel takes as a name, without what iptables takes for a pattern.
var interfaceForm = regexp.MustCompile(`^[A-Za-z0-9_.:@-]{1,15}$`)

// ParseInterfaces reads a comma-separated list of names of network interfaces.
func ParseInterfaces(list string) ([]string, error) {
	names := fields(list)
	for _, name := range names {
		if !interfaceForm.MatchString(name) {
			return nil, fmt.Errorf("%q is not the name of a network interface", name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// ParseCIDRs reads a comma-separated list of CIDR blocks or single addresses; "*" alone means all.
func ParseCIDRs(list string) (all bool, blocks []netip.Prefix, err error) {
	for _, field := range fields(list) {
		if field == All {
			all = true
			continue
		}
		block, err := parseBlock(field)
		if err != nil {
			return false, nil, err
		}
		blocks = append(blocks, block)
	}
	if all && len(blocks) > 0 {
		return false, nil, fmt.Errorf("%q cannot be combined with other address blocks in %q", All, list)
	}
	slices.SortFunc(blocks, netip.Prefix.Compare)
	return all, slices.Compact(blocks), nil
}

func parseBlock(field string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(field); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	block, err := netip.ParsePrefix(field)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("address block %q is neither an IP address nor ADDRESS/BITS", field)
	}
	return block.Masked(), nil
}

func fields(list string) []string {
	var out []string
	for field := range strings.SplitSeq(list, ",") {
		if field = strings.TrimSpace(field); field != "" {
			out = append(out, field)
		}
	}
	return out
}

// Validate reports settings that contradict each other.
func (c Config) Validate() error {
	if c.InboundCapturePort == 0 || c.OutboundCapturePort == 0 {
		return fmt.Errorf("capture ports must be between 1 and 65535")
	}
	if c.InboundCapturePort == c.OutboundCapturePort {
		return fmt.Errorf("inbound and outbound traffic cannot be captured at the same port %d", c.InboundCapturePort)
	}
	if c.DNSCapturePort != 0 && (c.DNSCapturePort == c.InboundCapturePort || c.DNSCapturePort == c.OutboundCapturePort) {
		return fmt.Errorf("DNS queries cannot be captured at port %d, which is for other traffic", c.DNSCapturePort)
	}
	if c.ProxyUID == 0 {
		return fmt.Errorf("the proxy must not run as root: uid 0 cannot be told from the application's init processes")
	}
	return nil
}
