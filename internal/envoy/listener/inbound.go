// SPDX-License-Identifier: Apache-2.0

package listener

import (
	"net/netip"
	"slices"
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshwright/meshwright/internal/envoy/filter"
	"github.com/meshwright/meshwright/internal/envoy/route"
	"github.com/meshwright/meshwright/internal/envoy/tls"
	"github.com/meshwright/meshwright/internal/envoy/typed"
	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/ownport"
)

// InboundCapture gets every connection that is made to the pod. Per port there is
//
//	mesh   mutual TLS of another proxy: strict and permissive
//	tls    TLS that the application terminates itself: permissive and disabled
//	plain  everything else: permissive and disabled
//
// A port of which nobody says what it carries has the first and the last twice, for
// requests and for other bytes.
//
// At a port at which a Sidecar has TLS end, the second is that TLS and the third is not there.
// A strict port has only the first, so that anything else finds no chain and is
// closed.
func InboundCapture(in *ir.Inbound) *listenerv3.Listener {
	chains := []*listenerv3.FilterChain{loopGuard(ownport.Inbound)}
	for i := range in.Ports {
		p := &in.Ports[i]
		chains = append(chains, inboundChains(in, p)...)
	}
	chains = append(chains, inboundChains(in, &ir.InboundPort{Protocol: ir.ProtocolTCP, Mode: in.Default})...)
	inspectors := []*listenerv3.ListenerFilter{
		filter.OriginalDst(), // first: chains are chosen by the port it restores
		filter.TLSInspector(),
	}
	if f := detectOn(in); f != nil {
		inspectors = append(inspectors, f)
	}
	out := &listenerv3.Listener{
		Name:                             ir.ListenerInbound,
		Address:                          typed.Address("0.0.0.0", ownport.Inbound),
		TrafficDirection:                 corev3.TrafficDirection_INBOUND,
		UseOriginalDst:                   wrapperspb.Bool(false),
		ListenerFilters:                  inspectors,
		FilterChains:                     chains,
		ContinueOnListenerFiltersTimeout: true,
		Metadata:                         typed.Origins(in.Origins),
	}
	if in.IPv6 {
		BothFamilies(out)
	}
	return out
}

// InboundPort is a port at which a sidecar listens itself, because nothing captures what
// comes there. Its chains are those that the port has in the listener of what is captured,
// which may be a way to it as well. It does not say what it comes from: rules for other
// ports would change it, and with it its connections.
func InboundPort(in *ir.Inbound, p *ir.InboundPort) *listenerv3.Listener {
	chains := inboundChains(in, p)
	for _, c := range chains {
		c.FilterChainMatch.DestinationPort = nil
		if p.To.IsCalled() {
			c.Filters = append([]*listenerv3.Filter{filter.CalledAddress()}, c.Filters...)
		}
	}
	address := typed.Address(p.Listen.String(), p.Port)
	address.GetSocketAddress().Ipv4Compat = p.Listen == netip.IPv6Unspecified() || p.Listen.Is4In6()
	return &listenerv3.Listener{
		Name:                             ir.InboundListenerName(p.Listen, p.Port),
		Address:                          address,
		TrafficDirection:                 corev3.TrafficDirection_INBOUND,
		ListenerFilters:                  []*listenerv3.ListenerFilter{filter.TLSInspector()}, // a Sidecar says what the port carries
		FilterChains:                     chains,
		ContinueOnListenerFiltersTimeout: true,
	}
}

// inboundChains is the chains of one port; port 0 is every port without its own.
func inboundChains(in *ir.Inbound, p *ir.InboundPort) []*listenerv3.FilterChain {
	var out []*listenerv3.FilterChain
	add := func(kind, transport string, alpn []string, f *listenerv3.Filter, socket *corev3.TransportSocket) {
		m := &listenerv3.FilterChainMatch{TransportProtocol: transport, ApplicationProtocols: alpn}
		name := "inbound|" + kind
		if p.Port != 0 {
			m.DestinationPort = wrapperspb.UInt32(uint32(p.Port))
			name = "inbound|" + strconv.Itoa(int(p.Port)) + "|" + kind
		}
		out = append(out, &listenerv3.FilterChain{
			Name: name, FilterChainMatch: m, Filters: []*listenerv3.Filter{f}, TransportSocket: socket,
		})
	}
	detected := p.Protocol == ir.ProtocolAuto
	bytes := p.Protocol
	if detected {
		bytes = ir.ProtocolTCP
	}
	if p.Mode != ir.MTLSDisable {
		alpn := tls.MeshALPNs()
		if detected {
			http := slices.DeleteFunc(slices.Clone(alpn), func(s string) bool { return !tls.IsHTTP(s) })
			add("mesh-http", secured, http, application(in, p, ir.ProtocolHTTP, true), tls.MeshServer(in.TrustDomain))
			alpn = slices.DeleteFunc(alpn, tls.IsHTTP)
		}
		if p.Mode == ir.MTLSStrict {
			alpn = nil // whatever comes by TLS must be of the mesh
		}
		add("mesh", secured, alpn, application(in, p, bytes, true), tls.MeshServer(in.TrustDomain))
	}
	if p.TLS != nil {
		var alpn []string
		if p.Protocol.IsHTTP() {
			alpn = []string{"h2", "http/1.1"}
		}
		add("tls", secured, nil, application(in, p, p.Protocol, false), tls.Gateway(p.TLS, alpn)) // not of the mesh: what it says of other clients is dropped
		return out
	}
	if p.Mode != ir.MTLSStrict {
		add("tls", secured, nil, application(in, p, ir.ProtocolTCP, false), nil)
		if detected {
			add("plain-http", plaintext, filter.HTTPProtocols(), application(in, p, ir.ProtocolHTTP, false), nil)
		}
		add("plain", plaintext, nil, application(in, p, bytes, false), nil)
	}
	return out
}

// detectOn tells requests from other bytes on the ports that may carry both in
// plaintext; nil if there are none. Inside the mesh's TLS the client says it.
func detectOn(in *ir.Inbound) *listenerv3.ListenerFilter {
	var ports []*listenerv3.ListenerFilterChainMatchPredicate
	for i := range in.Ports {
		if p := &in.Ports[i]; p.Protocol == ir.ProtocolAuto && p.Mode != ir.MTLSStrict {
			ports = append(ports, &listenerv3.ListenerFilterChainMatchPredicate{
				Rule: &listenerv3.ListenerFilterChainMatchPredicate_DestinationPortRange{
					DestinationPortRange: &typev3.Int32Range{Start: int32(p.Port), End: int32(p.Port) + 1},
				},
			})
		}
	}
	if len(ports) == 0 {
		return nil
	}
	these := ports[0]
	if len(ports) > 1 {
		these = &listenerv3.ListenerFilterChainMatchPredicate{Rule: &listenerv3.ListenerFilterChainMatchPredicate_OrMatch{
			OrMatch: &listenerv3.ListenerFilterChainMatchPredicate_MatchSet{Rules: ports},
		}}
	}
	out := filter.HTTPInspector()
	out.FilterDisabled = &listenerv3.ListenerFilterChainMatchPredicate{
		Rule: &listenerv3.ListenerFilterChainMatchPredicate_NotMatch{NotMatch: these},
	}
	return out
}

func application(in *ir.Inbound, p *ir.InboundPort, protocol ir.Protocol, clientCert bool) *listenerv3.Filter {
	if p.Port == 0 {
		return filter.TCP(ir.ClusterInboundPassthrough, in.AccessLogFile)
	}
	name := ir.InboundClusterName(p.Port)
	if !protocol.IsHTTP() {
		return filter.Local(name, in.AccessLogFile, ir.PolicySettings{Pool: p.Pool}.Stream())
	}
	return filter.HTTP{
		StatPrefix:    name,
		Routes:        route.Inbound(p.Port),
		Application:   clientCert,
		AccessLogFile: in.AccessLogFile,
		Paths:         in.Paths,
		Tokens:        in.Tokens,
		GRPCWeb:       protocol == ir.ProtocolGRPCWeb,
		Dialect:       in.Dialect,
	}.Build()
}
