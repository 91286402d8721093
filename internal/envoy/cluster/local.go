// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rawbufferv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/meshwright/meshwright/internal/envoy/tls"
	"github.com/meshwright/meshwright/internal/envoy/typed"
	"github.com/meshwright/meshwright/internal/ir"
)

// inboundSource is the address from which a proxy connects to its own
// application. The packet rules let it pass, so that such a connection is not
// captured again.
const inboundSource = "127.0.0.6"

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
func Inbound(port uint16, protocol ir.Protocol, keepCase bool) *clusterv3.Cluster {
	c := originalDst(ir.InboundClusterName(port))
	c.UpstreamBindConfig = fromInbound()
	switch {
	case protocol.IsHTTP():
		c.TypedExtensionProtocolOptions = httpOptions(protocol.IsHTTP2(), keepCase)
	case protocol.MayBeHTTP():
		c.TypedExtensionProtocolOptions = downstreamOptions(keepCase)
	}
	return c
}

// InboundPassthrough is every port of the application that no Service names.
func InboundPassthrough() *clusterv3.Cluster {
	c := originalDst(ir.ClusterInboundPassthrough)
	c.UpstreamBindConfig = fromInbound()
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

func fromInbound() *corev3.BindConfig {
	return &corev3.BindConfig{SourceAddress: &corev3.SocketAddress{
		Address:       inboundSource,
		PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 0},
	}}
}

const httpOptionsName = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

// httpOptions speaks HTTP/1.1 or HTTP/2, as the port declares.
func httpOptions(http2, keepCase bool) map[string]*anypb.Any {
	out := &httpv3.HttpProtocolOptions{UpstreamProtocolOptions: explicitVersion(nil, keepCase)}
	if http2 {
		out.UpstreamProtocolOptions = explicitVersion(&corev3.Http2ProtocolOptions{}, keepCase)
	}
	return map[string]*anypb.Any{httpOptionsName: typed.Config(out)}
}

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
