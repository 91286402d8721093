// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"net/netip"
	"slices"
	"strings"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
)

// criteria is what chains are chosen by, in the order in which Envoy looks at it; the
// protocol of the application comes last.
// At each step the narrowest that some chain names is taken, among the chains that
// are left, and it does not turn back when nothing is left later. See
// https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/listener/v3/listener_components.proto.
var criteria = []func(*listenerv3.FilterChainMatch, *Call) (narrow int, ok bool){
	destinationPort, destination, serverName, transport,
}

// choose finds the filter chain of a call.
func choose(l *listenerv3.Listener, c *Call) *listenerv3.FilterChain {
	left := slices.Clone(l.FilterChains)
	found := inspected(l, c)
	application := func(m *listenerv3.FilterChainMatch, _ *Call) (int, bool) {
		if len(m.GetApplicationProtocols()) == 0 {
			return 0, true
		}
		return 1, slices.Contains(m.ApplicationProtocols, found)
	}
	for _, criterion := range append(slices.Clone(criteria), application) {
		best := 0
		for _, chain := range left {
			if narrow, ok := criterion(chain.GetFilterChainMatch(), c); ok {
				best = max(best, narrow)
			}
		}
		left = slices.DeleteFunc(left, func(chain *listenerv3.FilterChain) bool {
			narrow, ok := criterion(chain.GetFilterChainMatch(), c)
			return !ok || narrow < best
		})
	}
	if len(left) == 0 {
		return l.DefaultFilterChain
	}
	return left[0]
}

func destinationPort(m *listenerv3.FilterChainMatch, c *Call) (int, bool) {
	if m.GetDestinationPort() == nil {
		return 0, true
	}
	return 1, m.DestinationPort.Value == uint32(c.Addr.Port())
}

func destination(m *listenerv3.FilterChainMatch, c *Call) (narrow int, ok bool) {
	if len(m.GetPrefixRanges()) == 0 {
		return 0, true
	}
	for _, r := range m.GetPrefixRanges() {
		addr, err := netip.ParseAddr(r.AddressPrefix)
		if err == nil && netip.PrefixFrom(addr, int(r.PrefixLen.GetValue())).Contains(c.Addr.Addr()) {
			narrow, ok = max(narrow, int(r.PrefixLen.GetValue())), true
		}
	}
	return narrow, ok
}

// serverName tells whether a chain takes the call's server name, and how exactly it says so.
func serverName(m *listenerv3.FilterChainMatch, c *Call) (narrow int, ok bool) {
	if len(m.GetServerNames()) == 0 {
		return 0, true
	}
	if !c.TLS {
		return 0, false
	}
	host := strings.ToLower(c.Host)
	for _, n := range m.ServerNames {
		switch tail, wild := strings.CutPrefix(n, "*"); {
		case n == host:
			return len(host) + 1, true
		case wild && strings.HasSuffix(host, tail) && len(host) > len(tail):
			narrow, ok = max(narrow, len(tail)), true
		}
	}
	return narrow, ok
}

func transport(m *listenerv3.FilterChainMatch, c *Call) (int, bool) {
	want := "raw_buffer"
	if c.TLS {
		want = "tls"
	}
	if m.GetTransportProtocol() == "" {
		return 0, true
	}
	return 1, m.TransportProtocol == want
}
