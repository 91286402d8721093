// SPDX-License-Identifier: Apache-2.0

package listener

import (
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshwright/meshwright/internal/envoy/filter"
	"github.com/meshwright/meshwright/internal/envoy/route"
	"github.com/meshwright/meshwright/internal/envoy/tls"
	"github.com/meshwright/meshwright/internal/envoy/typed"
	"github.com/meshwright/meshwright/internal/ir"
)

// InboundCapture gets every connection that is made to the pod. Per port there is
//
//	mesh   mutual TLS of another proxy: strict and permissive
//	tls    TLS that the application terminates itself: permissive and disabled
//	plain  everything else: permissive and disabled
//
// A strict port has only the first, so that anything else finds no chain and is
// closed.
func InboundCapture(in *ir.Inbound) *listenerv3.Listener {
	chains := []*listenerv3.FilterChain{loopGuard(inboundPort)}
	for i := range in.Ports {
		p := &in.Ports[i]
		chains = append(chains, inboundChains(in, p.Port, p.Protocol, p.Mode)...)
	}
	chains = append(chains, inboundChains(in, 0, ir.ProtocolTCP, in.Default)...)
	return &listenerv3.Listener{
		Name:             ir.ListenerInbound,
		Address:          typed.Address("0.0.0.0", inboundPort),
		TrafficDirection: corev3.TrafficDirection_INBOUND,
		UseOriginalDst:   wrapperspb.Bool(false),
		ListenerFilters: []*listenerv3.ListenerFilter{
			filter.OriginalDst(), // first: chains are chosen by the port it restores
			filter.TLSInspector(),
		},
		FilterChains:                     chains,
		ContinueOnListenerFiltersTimeout: true,
		Metadata:                         typed.Origins(in.Origins),
	}
}

// inboundChains is the chains of one port; port 0 is every port without its own.
func inboundChains(in *ir.Inbound, port uint16, protocol ir.Protocol, mode ir.MTLSMode) []*listenerv3.FilterChain {
	var out []*listenerv3.FilterChain
	add := func(kind, transport string, alpn []string, f *listenerv3.Filter, socket *corev3.TransportSocket) {
		m := &listenerv3.FilterChainMatch{TransportProtocol: transport, ApplicationProtocols: alpn}
		name := "inbound|" + kind
		if port != 0 {
			m.DestinationPort = wrapperspb.UInt32(uint32(port))
			name = "inbound|" + strconv.Itoa(int(port)) + "|" + kind
		}
		out = append(out, &listenerv3.FilterChain{
			Name: name, FilterChainMatch: m, Filters: []*listenerv3.Filter{f}, TransportSocket: socket,
		})
	}
	if mode != ir.MTLSDisable {
		alpn := tls.MeshALPNs()
		if mode == ir.MTLSStrict {
			alpn = nil // whatever comes by TLS must be of the mesh
		}
		add("mesh", secured, alpn, application(in, port, protocol, true), tls.MeshServer(in.TrustDomain))
	}
	if mode != ir.MTLSStrict {
		add("tls", secured, nil, application(in, port, ir.ProtocolTCP, false), nil)
		add("plain", plaintext, nil, application(in, port, protocol, false), nil)
	}
	return out
}

func application(in *ir.Inbound, port uint16, protocol ir.Protocol, clientCert bool) *listenerv3.Filter {
	if port == 0 {
		return filter.TCP(ir.ClusterInboundPassthrough, in.AccessLogFile)
	}
	name := ir.InboundClusterName(port)
	if !protocol.IsHTTP() {
		return filter.TCP(name, in.AccessLogFile)
	}
	return filter.HTTP{
		StatPrefix:    name,
		Routes:        route.Inbound(port),
		Application:   clientCert,
		AccessLogFile: in.AccessLogFile,
		Paths:         in.Paths,
	}.Build()
}
