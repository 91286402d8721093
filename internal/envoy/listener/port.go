// SPDX-License-Identifier: Apache-2.0

package listener

import (
	"cmp"
	"net/netip"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshwright/meshwright/internal/envoy/filter"
	"github.com/meshwright/meshwright/internal/envoy/typed"
	"github.com/meshwright/meshwright/internal/ir"
)

// OutboundPort gets what goes to a port of any address without a listener of its
// own. Requests are routed by their host, and bytes to the hosts that have a part of
// the port; everything else goes where it was meant to, TLS of the application as it is.
func OutboundPort(in *ir.PortOutbound) *listenerv3.Listener {
	name := ir.OutboundListenerName(in.Port)
	var known []*listenerv3.Filter
	others := unknown(in.Unknown, in.AccessLogFile)
	if in.Pods {
		known = append(known, filter.Pods(in.Port))
		// The clusters of pods are asked for; that of all others is always there.
		others.Filters = append(slices.Clone(known), filter.TCPOnDemand(others.Name, in.AccessLogFile))
	}
	out := &listenerv3.Listener{
		Name:             name,
		Address:          typed.Address("0.0.0.0", in.Port),
		BindToPort:       wrapperspb.Bool(false),
		TrafficDirection: corev3.TrafficDirection_OUTBOUND,
	}
	if in.HTTP {
		out.ListenerFilters = []*listenerv3.ListenerFilter{filter.TLSInspector()}
		out.ContinueOnListenerFiltersTimeout = true
		out.FilterChains = requestChains(in, name, known)
		if in.TakesBytes() {
			detect(out, in.Detection)
		}
	} else if readsNames(in.Streams) {
		inspect(out)
		if in.TakesBytes() {
			out.ListenerFiltersTimeout = durationpb.New(cmp.Or(in.Detection, ir.DefaultDetection))
		}
	}
	for i := range in.Streams {
		s := &in.Streams[i]
		carry := streamChain(s, slices.Concat(known, filter.Stream(s.Targets, in.AccessLogFile, s.Stream))...)
		switch {
		case s.TakesAll():
			carry.Name, others = name+"|rest", carry
		case in.HTTP && len(s.ServerNames) == 0:
			out.FilterChains = append(out.FilterChains, carry, ofPlaintext(carry))
		default:
			out.FilterChains = append(out.FilterChains, carry)
		}
	}
	out.FilterChains = append(out.FilterChains, addressChains(in.Ranges, in.Unknown, in.AccessLogFile, known)...)
	out.DefaultFilterChain = others
	return out
}

// requestChains is the chain of requests, and once more for the addresses of which
// hosts have a part: what is called there is not looked for among the others.
func requestChains(in *ir.PortOutbound, name string, known []*listenerv3.Filter) []*listenerv3.FilterChain {
	match := &listenerv3.FilterChainMatch{TransportProtocol: plaintext}
	if in.TakesBytes() {
		match.ApplicationProtocols = filter.HTTPProtocols()
		known = append(known, filter.Carries(typed.CarriesRequests))
	}
	all := &listenerv3.FilterChain{
		Name:             name,
		FilterChainMatch: match,
		Filters: append(known, filter.HTTP{
			StatPrefix:    "outbound_" + name,
			RouteConfig:   ir.OutboundRouteName(in.Port),
			OnDemand:      true,
			AccessLogFile: in.AccessLogFile,
			Paths:         in.Paths,
			Dialect:       in.Dialect,
		}.Build()),
	}
	var subnets []netip.Prefix
	for i := range in.Streams {
		subnets = append(subnets, in.Streams[i].Subnets...)
	}
	if len(subnets) == 0 {
		return []*listenerv3.FilterChain{all}
	}
	slices.SortFunc(subnets, ir.ComparePrefix)
	parts := proto.Clone(all).(*listenerv3.FilterChain)
	parts.Name = name + "|parts"
	parts.FilterChainMatch.PrefixRanges = ranges(slices.Compact(subnets))
	return []*listenerv3.FilterChain{all, parts}
}

// ofPlaintext is a chain for the plaintext that is no request: beside a chain that asks
// for plaintext, one that does not ask gets none.
func ofPlaintext(chain *listenerv3.FilterChain) *listenerv3.FilterChain {
	out := proto.Clone(chain).(*listenerv3.FilterChain)
	out.Name += "|plain"
	out.FilterChainMatch.TransportProtocol = plaintext
	return out
}
