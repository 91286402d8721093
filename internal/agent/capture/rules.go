// SPDX-License-Identifier: Apache-2.0

package capture

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
)

// The chains that we own. Nothing else is touched except the jumps to them from PREROUTING and OUTPUT.
const (
	chainInbound          = "MESHWRIGHT_INBOUND"
	chainInboundRedirect  = "MESHWRIGHT_IN_REDIRECT"
	chainOutbound         = "MESHWRIGHT_OUTPUT"
	chainOutboundRedirect = "MESHWRIGHT_REDIRECT"
	chainDNS              = "MESHWRIGHT_DNS"
	chainZoneOutput       = "MESHWRIGHT_ZONE_OUT"
	chainZoneInput        = "MESHWRIGHT_ZONE_IN"
)

// baseChains are always there; dnsChains with DNS capture only.
var (
	baseChains = []string{chainInbound, chainInboundRedirect, chainOutbound, chainOutboundRedirect}
	dnsChains  = []string{chainDNS, chainZoneOutput, chainZoneInput}
)

// ownChains are all of them in the order in which they are written.
var ownChains = slices.Concat(baseChains, dnsChains)

// The tables with chains of ours.
const (
	tableNAT = "nat"
	tableRaw = "raw"
)

// zone is the connection tracking zone of the agent's own DNS queries: see builder.zones.
const zone = 1

// jump is a rule in a built-in chain that leads into one of ours.
type jump struct {
	chain string
	rule  string
}

// family holds what differs between the two IP versions.
type family struct {
	name string
	is4  bool
	// loopback is the address of the application that calls itself.
	loopback string
	// passthrough is the source address that the proxy (and the agent's probes) use for connections to their own pod, so
	// that these can be told from connections that must run through the inbound listener.
	passthrough string
}

// PassthroughIPv4 is the source address of the proxy's connections to the application in its own pod.
const PassthroughIPv4 = "127.0.0.6"

// PassthroughIPv6 is PassthroughIPv4's counterpart. It must be an address of the pod: the set-up adds it to lo.
const PassthroughIPv6 = "::6"

var families = []family{
	{name: "IPv4", is4: true, loopback: "127.0.0.1/32", passthrough: PassthroughIPv4 + "/32"},
	{name: "IPv6", loopback: "::1/128", passthrough: PassthroughIPv6 + "/128"},
}

// ruleset is the wanted content of one table for one family: our chains whole, and our jumps.
type ruleset struct {
	table  string
	chains map[string][]string
	jumps  []jump
}

// build renders the rules of one family, first those of table nat. They are spelled as iptables-save prints them, which makes comparing simple.
//
// Why the order in the outbound chain matters, for a pod with address POD and the application's user A, proxy user P:
//
//	P, source 127.0.0.6 -> POD   the proxy delivers to the application: leave alone
//	P -> POD over lo             a call that the proxy routed back to its own pod: through the inbound listener
//	A -> POD or 127.x over lo    the application calls itself: leave alone, as without a mesh
//	P -> anywhere                the proxy's own traffic: leave alone
//	A -> anywhere else           through the outbound listener
//
// Before all that comes, if wanted, A -> the pod's DNS server: to the agent.
func build(f family, c Config) (nat, raw ruleset) {
	b := &builder{family: f, chains: map[string][]string{}}
	for _, chain := range baseChains {
		b.chains[chain] = []string{} // They are there even when nothing is in them.
	}
	servers := c.capturedServers(f)
	if len(servers) > 0 {
		b.rule(chainOutbound, "-p tcp -m tcp --dport %d -j %s", dnsPort, chainDNS)
	}
	b.rule(chainInboundRedirect, "-p tcp -j REDIRECT --to-ports %d", c.InboundCapturePort)
	b.rule(chainOutboundRedirect, "-p tcp -j REDIRECT --to-ports %d", c.OutboundCapturePort)
	b.inbound(c)
	b.outbound(c)
	nat = ruleset{
		table: tableNAT,
		jumps: []jump{
			{chain: "PREROUTING", rule: "-p tcp -j " + chainInbound},
			{chain: "OUTPUT", rule: "-p tcp -j " + chainOutbound},
		},
	}
	if len(servers) > 0 {
		b.dns(c, servers)
		nat.jumps = append(nat.jumps, jump{chain: "OUTPUT", rule: fmt.Sprintf("-p udp -m udp --dport %d -j %s", dnsPort, chainDNS)})
	}
	nat.chains = b.chains
	return nat, zones(f, c, servers)
}

type builder struct {
	family family
	chains map[string][]string
}

func (b *builder) rule(chain, format string, args ...any) {
	b.chains[chain] = append(b.chains[chain], fmt.Sprintf(format, args...))
}

// dns sends the application's queries to the agent, whose own go where they are meant to.
func (b *builder) dns(c Config, servers []netip.Addr) {
	for _, owner := range c.owners() {
		b.rule(chainDNS, "-m owner --%s -j RETURN", owner)
	}
	for _, server := range servers {
		for _, protocol := range []string{"udp", "tcp"} {
			b.rule(chainDNS, "-d %s -p %s -j REDIRECT --to-ports %d", single(server), protocol, c.DNSCapturePort)
		}
	}
}

// zones keeps the agent's own queries apart from the application's. The kernel remembers for half a minute or more from
// which port of the pod a datagram went to a server, and whether it was redirected. Ports are used again sooner: without
// zones, a query of the agent from a port that the application has used would be redirected to the agent, over and over,
// and a query of the application from a port that the agent has used would pass by it.
func zones(f family, c Config, servers []netip.Addr) ruleset {
	b := &builder{family: f, chains: map[string][]string{}}
	out := ruleset{table: tableRaw}
	if len(servers) == 0 {
		return out
	}
	for _, server := range servers {
		for _, owner := range c.owners() {
			b.rule(chainZoneOutput, "-d %s -p udp -m owner --%s -j CT --zone %d", single(server), owner, zone)
		}
		b.rule(chainZoneInput, "-s %s -p udp -j CT --zone %d", single(server), zone)
	}
	out.chains = b.chains
	out.jumps = []jump{
		{chain: "OUTPUT", rule: fmt.Sprintf("-p udp -m udp --dport %d -j %s", dnsPort, chainZoneOutput)},
		{chain: "PREROUTING", rule: fmt.Sprintf("-p udp -m udp --sport %d -j %s", dnsPort, chainZoneInput)},
	}
	return out
}

// single is the block of one address.
func single(addr netip.Addr) string { return netip.PrefixFrom(addr, addr.BitLen()).String() }

// owners are the matches of the proxy's own packets.
func (c Config) owners() []string {
	return []string{
		"uid-owner " + strconv.FormatUint(uint64(c.ProxyUID), 10),
		"gid-owner " + strconv.FormatUint(uint64(c.ProxyGID), 10),
	}
}

func (b *builder) inbound(c Config) {
	for _, name := range c.ExcludeInterfaces {
		b.rule(chainInbound, "-i %s -j RETURN", name)
	}
	// Our own ports are never captured, or a proxy that does not answer would hide the agent's reason from the kubelet.
	for _, port := range c.ExcludeInboundPorts {
		b.rule(chainInbound, "-p tcp -m tcp --dport %d -j RETURN", port)
	}
	if c.AllInboundPorts {
		b.rule(chainInbound, "-p tcp -j %s", chainInboundRedirect)
		return
	}
	for _, port := range c.InboundPorts {
		b.rule(chainInbound, "-p tcp -m tcp --dport %d -j %s", port, chainInboundRedirect)
	}
}

func (b *builder) outbound(c Config) {
	f := b.family
	for _, name := range c.ExcludeInterfaces {
		b.rule(chainOutbound, "-o %s -j RETURN", name)
	}
	b.rule(chainOutbound, "-s %s -o lo -j RETURN", f.passthrough)
	for _, owner := range c.owners() {
		b.rule(chainOutbound, "! -d %s -o lo -p tcp -m owner --%s -j %s", f.loopback, owner, chainInboundRedirect)
		b.rule(chainOutbound, "-o lo -m owner ! --%s -j RETURN", owner)
		b.rule(chainOutbound, "-m owner --%s -j RETURN", owner)
	}
	b.rule(chainOutbound, "-d %s -j RETURN", f.loopback)
	for _, port := range c.ExcludeOutboundPorts {
		b.rule(chainOutbound, "-p tcp -m tcp --dport %d -j RETURN", port)
	}
	for _, block := range b.own(c.ExcludeOutboundCIDRs) {
		b.rule(chainOutbound, "%s-j RETURN", destination(block))
	}
	for _, port := range c.IncludeOutboundPorts {
		b.rule(chainOutbound, "-p tcp -m tcp --dport %d -j %s", port, chainOutboundRedirect)
	}
	if c.AllOutbound {
		b.rule(chainOutbound, "-j %s", chainOutboundRedirect)
		return
	}
	for _, block := range b.own(c.IncludeOutboundCIDRs) {
		b.rule(chainOutbound, "%s-j %s", destination(block), chainOutboundRedirect)
	}
}

// own keeps the blocks of the builder's family.
func (b *builder) own(blocks []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, block := range blocks {
		if block.Addr().Is4() == b.family.is4 {
			out = append(out, block)
		}
	}
	return out
}

// destination is the match of a block. iptables-save prints no match for the block of everything.
func destination(block netip.Prefix) string {
	if block.Bits() == 0 {
		return ""
	}
	return "-d " + block.String() + " "
}
