// SPDX-License-Identifier: Apache-2.0

// Package listener builds Envoy's listeners.
// See https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/listener/v3/listener.proto.
package listener

import (
	"cmp"
	"net/netip"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshwright/meshwright/internal/envoy/filter"
	"github.com/meshwright/meshwright/internal/envoy/typed"
	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/ownport"
)

const (
	plaintext = "raw_buffer"
	secured   = "tls"
)

// OutboundCapture gets every connection that the application makes and hands it
// to the listener of its address, or passes it on where no listener fits.
func OutboundCapture(in *ir.OutboundCapture) *listenerv3.Listener {
	others := unknown(in.Unknown, in.AccessLogFile)
	return &listenerv3.Listener{
		Name:               ir.ListenerOutbound,
		Address:            typed.Address("0.0.0.0", ownport.Outbound),
		TrafficDirection:   corev3.TrafficDirection_OUTBOUND,
		UseOriginalDst:     wrapperspb.Bool(true),
		ListenerFilters:    []*listenerv3.ListenerFilter{filter.OriginalDst()},
		FilterChains:       append([]*listenerv3.FilterChain{loopGuard(ownport.Outbound)}, addressChains(in.Ranges, in.Unknown, in.AccessLogFile, nil)...),
		DefaultFilterChain: others,
	}
}

// addressChains take connections to some ranges. A proxy that may ask, asks whose the
// address is. Each range has a chain of its own, because a chain that changes loses its
// connections: the next range must not cost those of the others. What a filter before
// knows of an address counts more.
func addressChains(in []netip.Prefix, others ir.Unknown, accessLogFile string, known []*listenerv3.Filter) []*listenerv3.FilterChain {
	out := make([]*listenerv3.FilterChain, len(in))
	for i, p := range in {
		filters := append([]*listenerv3.Filter{filter.Addresses()}, known...)
		out[i] = &listenerv3.FilterChain{
			Name:             ir.AddressesName + "|" + p.String(),
			FilterChainMatch: &listenerv3.FilterChainMatch{PrefixRanges: ranges([]netip.Prefix{p})},
			Filters:          append(filters, filter.TCPOnDemand(others.Cluster(), accessLogFile)),
			Metadata:         typed.Origins(others.Origins()),
		}
	}
	return out
}

// detect lets a listener look for HTTP. What a client that is too late sends is
// carried as bytes: that is what a server that speaks first needs.
func detect(l *listenerv3.Listener, patience time.Duration) {
	l.ListenerFilters = append(l.ListenerFilters, filter.HTTPInspector())
	l.ListenerFiltersTimeout = durationpb.New(cmp.Or(patience, ir.DefaultDetection))
	l.ContinueOnListenerFiltersTimeout = true
}

// unknown is what becomes of a connection to an address that the mesh does not know.
func unknown(what ir.Unknown, accessLogFile string) *listenerv3.FilterChain {
	name, carry := what.Cluster(), filter.TCP
	if what.IsProxied() {
		carry = filter.TCPOnDemand // the other clusters are always there
	}
	return &listenerv3.FilterChain{
		Name:     name,
		Metadata: typed.Origins(what.Origins()),
		Filters:  []*listenerv3.Filter{carry(name, accessLogFile)},
	}
}

// loopGuard ends a connection that names a capture port itself: passing it on
// would send it to the same port again, for ever.
func loopGuard(port uint32) *listenerv3.FilterChain {
	return &listenerv3.FilterChain{
		Name:             ir.ClusterBlackHole,
		FilterChainMatch: &listenerv3.FilterChainMatch{DestinationPort: wrapperspb.UInt32(port)},
		Filters:          []*listenerv3.Filter{filter.TCP(ir.ClusterBlackHole, "")},
	}
}
