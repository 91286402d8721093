// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	rawbufferv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshwright/meshwright/internal/envoy/tls"
	"github.com/meshwright/meshwright/internal/envoy/typed"
	"github.com/meshwright/meshwright/internal/ir"
)

// inboundSource is the address from which a proxy connects to its own
// application. The packet rules let it pass, so that such a connection is not
// captured again.
const (
	inboundSource  = "127.0.0.6"
	inboundSource6 = "::6"
)

// BlackHole is a cluster without endpoints: what must not go anywhere.
func BlackHole() *clusterv3.Cluster { return Empty(ir.ClusterBlackHole) }

// Empty is a cluster without endpoints: what goes there is refused at once.
func Empty(name string) *clusterv3.Cluster {
	return &clusterv3.Cluster{
		Name:                 name,
		ConnectTimeout:       durationpb.New(connectTimeout),
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
	}
}

// Passthrough goes where the application wanted to go. A pod that is called by its
// address and takes mutual TLS may be anybody of the mesh.
func Passthrough(trustDomain string) *clusterv3.Cluster {
	c := originalDst(ir.ClusterPassthrough)
	peers{mesh: func(alpn string) *corev3.TransportSocket {
		return tls.MeshClient(trustDomain, nil, "", alpn)
	}, detected: true}.whereKnown(c)
	c.TypedExtensionProtocolOptions = downstreamOptions(false)
	return c
}

// Unknown is what an address leads to that nobody has: where the application wanted to
// go, or nowhere. It is counted as what it stands for, whatever it is called.
func Unknown(trustDomain string, registryOnly bool) *clusterv3.Cluster {
	c := Passthrough(trustDomain)
	if registryOnly {
		c = BlackHole()
	}
	c.AltStatName, c.Name = c.Name, ir.ClusterUnknown
	return c
}

// Inbound is the application's port behind a sidecar.
func Inbound(in *ir.InboundPort, keepCase, ipv6 bool) *clusterv3.Cluster {
	c := originalDst(ir.InboundClusterName(in.Port))
	switch to := in.To; {
	case to.Socket != "":
		fixed(c, &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: to.Socket}}})
	case to.Addr.IsValid():
		fixed(c, typed.Address(to.Addr.String(), to.Port))
	default:
		c.UpstreamBindConfig = fromInbound(ipv6)
		otherPort(c, to.Port)
	}
	pool(c, in.Pool)
	if in.Protocol.MayBeHTTP() {
		c.TypedExtensionProtocolOptions = outboundOptions(&ir.OutboundCluster{
			Protocol: in.Protocol, Settings: ir.PolicySettings{Pool: in.Pool}, KeepCase: keepCase,
		})
	}
	return c
}

// fixed makes a cluster one of a single address. To that the application's own proxy
// connects from the same address, which packet rules leave alone.
func fixed(c *clusterv3.Cluster, to *corev3.Address) {
	c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
	c.LbPolicy = clusterv3.Cluster_ROUND_ROBIN
	c.LoadAssignment = &endpointv3.ClusterLoadAssignment{
		ClusterName: c.Name,
		Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: to}},
		}}}},
	}
}

// otherPort sends connections to another port of the address that was called; 0: the
// same.
func otherPort(c *clusterv3.Cluster, port uint16) {
	if port != 0 {
		c.LbConfig = &clusterv3.Cluster_OriginalDstLbConfig_{OriginalDstLbConfig: &clusterv3.Cluster_OriginalDstLbConfig{
			UpstreamPortOverride: wrapperspb.UInt32(uint32(port)),
		}}
	}
}

// InboundPassthrough is every port of the application that no Service names.
func InboundPassthrough(ipv6 bool) *clusterv3.Cluster {
	c := originalDst(ir.ClusterInboundPassthrough)
	c.UpstreamBindConfig = fromInbound(ipv6)
	return c
}

func originalDst(name string) *clusterv3.Cluster {
	return &clusterv3.Cluster{
		Name:                 name,
		ConnectTimeout:       durationpb.New(connectTimeout),
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_ORIGINAL_DST},
		LbPolicy:             clusterv3.Cluster_CLUSTER_PROVIDED,
		CircuitBreakers:      unlimited(),
	}
}

// fromInbound has connections come from the address of their family.
func fromInbound(ipv6 bool) *corev3.BindConfig {
	source := func(address string) *corev3.SocketAddress {
		return &corev3.SocketAddress{Address: address, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 0}}
	}
	out := &corev3.BindConfig{SourceAddress: source(inboundSource)}
	if ipv6 {
		out.ExtraSourceAddresses = []*corev3.ExtraSourceAddress{{Address: source(inboundSource6)}}
	}
	return out
}

const httpOptionsName = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

// explicitVersion speaks HTTP/2 with options, else HTTP/1.1.
func explicitVersion(http2 *corev3.Http2ProtocolOptions, keepCase bool) *httpv3.HttpProtocolOptions_ExplicitHttpConfig_ {
	explicit := &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
		ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{
			HttpProtocolOptions: http1(keepCase),
		},
	}
	if http2 != nil {
		explicit.ProtocolConfig = &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
			Http2ProtocolOptions: http2,
		}
	}
	return &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{ExplicitHttpConfig: explicit}
}

func http1(keepCase bool) *corev3.Http1ProtocolOptions {
	out := &corev3.Http1ProtocolOptions{}
	if keepCase {
		out.HeaderKeyFormat = typed.KeepCase()
	}
	return out
}

// downstreamOptions speaks what the application spoke.
func downstreamOptions(keepCase bool) map[string]*anypb.Any {
	return map[string]*anypb.Any{httpOptionsName: typed.Config(&httpv3.HttpProtocolOptions{
		UpstreamProtocolOptions: clientVersion(&corev3.Http2ProtocolOptions{}, keepCase),
	})}
}

func clientVersion(http2 *corev3.Http2ProtocolOptions, keepCase bool) *httpv3.HttpProtocolOptions_UseDownstreamProtocolConfig {
	return &httpv3.HttpProtocolOptions_UseDownstreamProtocolConfig{
		UseDownstreamProtocolConfig: &httpv3.HttpProtocolOptions_UseDownstreamHttpConfig{
			HttpProtocolOptions:  http1(keepCase),
			Http2ProtocolOptions: http2,
		},
	}
}

var rawBuffer = typed.Config(&rawbufferv3.RawBuffer{})
