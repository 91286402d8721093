// SPDX-License-Identifier: Apache-2.0

package listener

import (
	"net/netip"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshwright/meshwright/internal/envoy/filter"
	"github.com/meshwright/meshwright/internal/envoy/tls"
	"github.com/meshwright/meshwright/internal/envoy/typed"
	"github.com/meshwright/meshwright/internal/ir"
)

// OutboundTCP carries connections to one address to their clusters. Where its
// protocol is not known, requests are told from other bytes.
func OutboundTCP(in *ir.TCPOutbound) *listenerv3.Listener {
	out := &listenerv3.Listener{
		Name:             in.ListenerName(),
		Address:          typed.Address(in.Addr.Addr().String(), in.Addr.Port()),
		BindToPort:       wrapperspb.Bool(false),
		TrafficDirection: corev3.TrafficDirection_OUTBOUND,
	}
	for i := range in.Chains {
		c := &in.Chains[i]
		out.FilterChains = append(out.FilterChains, streamChain(c, filter.Stream(c.Targets, in.AccessLogFile, c.Stream)...))
	}
	if readsNames(in.Chains) {
		inspect(out)
	}
	if in.RouteConfig != "" {
		out.FilterChains = append(out.FilterChains, requestChain(in))
		detect(out, in.Detection)
	}
	return out
}

// requestChain gets what begins with HTTP at an address of which nobody says what it
// carries.
func requestChain(in *ir.TCPOutbound) *listenerv3.FilterChain {
	return &listenerv3.FilterChain{
		Name:             in.RouteConfig,
		FilterChainMatch: &listenerv3.FilterChainMatch{ApplicationProtocols: filter.HTTPProtocols()},
		Filters: []*listenerv3.Filter{
			filter.Carries(typed.CarriesRequests),
			filter.HTTP{
				StatPrefix: "outbound_" + in.ListenerName(), RouteConfig: in.RouteConfig, OnDemand: true,
				Paths: in.Paths, Dialect: in.Dialect, AccessLogFile: in.AccessLogFile,
			}.Build(),
		},
	}
}

// StreamOrigins is the objects that chains come from.
func StreamOrigins(chains []ir.StreamChain) []ir.Origin {
	var out []ir.Origin
	for i := range chains {
		for _, o := range chains[i].Origins {
			if !slices.Contains(out, o) {
				out = append(out, o)
			}
		}
	}
	return out
}

// readsNames tells whether some chain asks for a server name. Without, connections
// must not wait for one: where the server speaks first, none would ever come.
func readsNames(chains []ir.StreamChain) bool {
	return slices.ContainsFunc(chains, func(c ir.StreamChain) bool { return len(c.ServerNames) > 0 })
}

// inspect has a listener look into TLS. What does not say in time what it is goes
// on as plaintext.
func inspect(l *listenerv3.Listener) {
	l.ListenerFilters = append(l.ListenerFilters, filter.TLSInspector())
	l.ContinueOnListenerFiltersTimeout = true
}

// streamChain is one chain. Its name is of the first subnet and name that it takes,
// which no other chain of the listener has. Its origins are said here and not at the
// listener: as long as only chains differ, Envoy drains no other chain's connections.
func streamChain(c *ir.StreamChain, filters ...*listenerv3.Filter) *listenerv3.FilterChain {
	out := &listenerv3.FilterChain{Filters: filters, Metadata: typed.Origins(c.Origins)}
	match := &listenerv3.FilterChainMatch{}
	var name []string
	if len(c.Subnets) > 0 {
		match.PrefixRanges = ranges(c.Subnets)
		name = append(name, c.Subnets[0].String())
	}
	if len(c.ServerNames) > 0 {
		match.TransportProtocol = secured
		if !slices.Contains(c.ServerNames, "*") {
			match.ServerNames = c.ServerNames
		}
		name = append(name, c.ServerNames[0])
	}
	if c.ByName {
		match.ApplicationProtocols = tls.MeshALPNs() // so that none but proxies of the mesh get through
		name = append(name, "auto")
	}
	if len(name) > 0 {
		out.Name, out.FilterChainMatch = strings.Join(name, "|"), match
	}
	if c.TLS != nil {
		out.TransportSocket = tls.Gateway(c.TLS, nil)
	}
	return out
}

// gatewayStream is a chain of a gateway that carries bytes.
func gatewayStream(c *ir.StreamChain, accessLogFile string) *listenerv3.FilterChain {
	if c.ByName {
		return streamChain(c, filter.Auto(accessLogFile)...)
	}
	carry := filter.GatewayStream(c.Targets, accessLogFile, c.Stream)
	if c.Detected {
		return streamChain(c, append([]*listenerv3.Filter{filter.Carries(typed.CarriesBytes)}, carry...)...) // its clusters take all else for requests
	}
	return streamChain(c, carry...)
}

func ranges(subnets []netip.Prefix) []*corev3.CidrRange {
	out := make([]*corev3.CidrRange, len(subnets))
	for i, p := range subnets {
		out[i] = &corev3.CidrRange{AddressPrefix: p.Addr().String(), PrefixLen: wrapperspb.UInt32(uint32(p.Bits()))}
	}
	return out
}
