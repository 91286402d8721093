// SPDX-License-Identifier: Apache-2.0

package capture

import (
	"fmt"
	"net/netip"
	"strconv"
)

// The chains that we own. Nothing else is touched except one jump each in PREROUTING and OUTPUT.
const (
	chainInbound          = "MESHWRIGHT_INBOUND"
	chainInboundRedirect  = "MESHWRIGHT_IN_REDIRECT"
	chainOutbound         = "MESHWRIGHT_OUTPUT"
	chainOutboundRedirect = "MESHWRIGHT_REDIRECT"
)

// ownChains in the order in which they are written.
var ownChains = []string{chainInbound, chainInboundRedirect, chainOutbound, chainOutboundRedirect}

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

// ruleset is the wanted content of table nat for one family: our chains whole, and our jumps.
type ruleset struct {
	chains map[string][]string
	jumps  []jump
}

// build renders the rules of one family. They are spelled as iptables-save prints them, which makes comparing simple.
//
// Why the order in the outbound chain matters, for a pod with address POD and the application's user A, proxy user P:
//
//	P, source 127.0.0.6 -> POD   the proxy delivers to the application: leave alone
//	P -> POD over lo             a call that the proxy routed back to its own pod: through the inbound listener
//	A -> POD or 127.x over lo    the application calls itself: leave alone, as without a mesh
//	P -> anywhere                the proxy's own traffic: leave alone
//	A -> anywhere else           through the outbound listener
func build(f family, c Config) ruleset {
	b := &builder{family: f}
	b.rule(chainInboundRedirect, "-p tcp -j REDIRECT --to-ports %d", c.InboundCapturePort)
	b.rule(chainOutboundRedirect, "-p tcp -j REDIRECT --to-ports %d", c.OutboundCapturePort)
	b.inbound(c)
	b.outbound(c)
	return ruleset{
		chains: b.chains,
		jumps: []jump{
			{chain: "PREROUTING", rule: "-p tcp -j " + chainInbound},
			{chain: "OUTPUT", rule: "-p tcp -j " + chainOutbound},
		},
	}
}

type builder struct {
	family family
	chains map[string][]string
}

func (b *builder) rule(chain, format string, args ...any) {
	if b.chains == nil {
		b.chains = make(map[string][]string, len(ownChains))
	}
	b.chains[chain] = append(b.chains[chain], fmt.Sprintf(format, args...))
}

func (b *builder) inbound(c Config) {
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
	b.rule(chainOutbound, "-s %s -o lo -j RETURN", f.passthrough)
	for _, owner := range []string{
		"uid-owner " + strconv.FormatUint(uint64(c.ProxyUID), 10),
		"gid-owner " + strconv.FormatUint(uint64(c.ProxyGID), 10),
	} {
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
