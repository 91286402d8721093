// SPDX-License-Identifier: Apache-2.0

package listener

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshwright/meshwright/internal/envoy/filter"
	"github.com/meshwright/meshwright/internal/envoy/tls"
	"github.com/meshwright/meshwright/internal/envoy/typed"
	"github.com/meshwright/meshwright/internal/ir"
)

// Gateway is a port at which requests and bytes enter or leave the mesh.
func Gateway(in *ir.GatewayListener) *listenerv3.Listener {
	out := &listenerv3.Listener{
		Name:             in.Name(),
		Address:          gatewayAddress(in),
		TrafficDirection: corev3.TrafficDirection_OUTBOUND,
	}
	inspect := readsNames(in.Streams)
	for i := range in.Chains {
		c := &in.Chains[i]
		out.FilterChains = append(out.FilterChains, gatewayChain(in, c))
		inspect = inspect || c.TLS != nil
	}
	for i := range in.Streams {
		out.FilterChains = append(out.FilterChains, gatewayStream(&in.Streams[i], in.AccessLogFile))
	}
	if in.HasBothFamilies() {
		BothFamilies(out)
	}
	if in.Edge.ProxyProtocol {
		out.ListenerFilters = append(out.ListenerFilters, filter.ProxyProtocol()) // first: what it reads comes before TLS
	}
	if inspect {
		out.ListenerFilters = append(out.ListenerFilters, filter.TLSInspector())
	}
	return out
}

func gatewayAddress(in *ir.GatewayListener) *corev3.Address {
	if in.Bind.Socket != "" {
		return socketAddress(in.Bind.Socket)
	}
	return typed.Address(in.Bind.String(), in.Port)
}

// GatewayHTTP3 is the port of UDP beside one of HTTPS, at which the same requests come
// by HTTP/3.
func GatewayHTTP3(in *ir.GatewayListener) *listenerv3.Listener {
	out := &listenerv3.Listener{
		Name:             in.HTTP3Name(),
		Address:          typed.Address(in.Bind.String(), in.HTTP3.Port),
		TrafficDirection: corev3.TrafficDirection_OUTBOUND,
		UdpListenerConfig: &listenerv3.UdpListenerConfig{
			QuicOptions:            &listenerv3.QuicProtocolOptions{},
			DownstreamSocketConfig: &corev3.UdpSocketConfig{PreferGro: wrapperspb.Bool(true)},
		},
	}
	out.Address.GetSocketAddress().Protocol = corev3.SocketAddress_UDP
	if in.HasBothFamilies() {
		BothFamilies(out)
	}
	for _, c := range in.HTTP3Chains() {
		chain := requests(in, &c, true)
		chain.FilterChainMatch = &listenerv3.FilterChainMatch{ServerNames: c.ServerNames}
		chain.TransportSocket = tls.GatewayHTTP3(c.TLS)
		out.FilterChains = append(out.FilterChains, chain)
	}
	return out
}

// requests is a chain without how its connections are secured.
func requests(in *ir.GatewayListener, c *ir.GatewayChain, http3 bool) *listenerv3.FilterChain {
	return &listenerv3.FilterChain{
		Name: c.RouteConfig,
		// Not at the listener: as long as only chains differ, Envoy drains the
		// connections of those that changed and of no others.
		Metadata: typed.Origins([]ir.Origin{c.Origin}),
		Filters: []*listenerv3.Filter{filter.HTTP{
			StatPrefix:    c.RouteConfig,
			RouteConfig:   c.RouteConfig,
			Edge:          &in.Edge,
			HTTP3:         http3,
			AccessLogFile: in.AccessLogFile,
			Paths:         in.Paths,
			Tokens:        in.Tokens,
			GRPCWeb:       c.GRPCWeb,
			Dialect:       in.Dialect,
		}.Build()},
	}
}

func gatewayChain(in *ir.GatewayListener, c *ir.GatewayChain) *listenerv3.FilterChain {
	out := requests(in, c, false)
	if c.TLS != nil {
		out.FilterChainMatch = &listenerv3.FilterChainMatch{
			ServerNames: c.ServerNames, TransportProtocol: secured,
		}
		out.TransportSocket = tls.Gateway(c.TLS, []string{"h2", "http/1.1"})
	}
	return out
}
