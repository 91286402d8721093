// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	xdscore "github.com/cncf/xds/go/xds/core/v3"
	matcher "github.com/cncf/xds/go/xds/type/matcher/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	socketv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/transport_socket/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/meshwright/meshwright/internal/envoy/tls"
	"github.com/meshwright/meshwright/internal/envoy/typed"
)

// The names of the transports of a cluster that chooses by more than endpoints' labels.
const (
	socketMesh     = "mesh"
	socketRequests = "mesh-requests"
	socketPlain    = "plain"
)

// The label of an endpoint that takes mutual TLS, where Envoy looks for labels of transports.
const (
	labelNamespace = "envoy.transport_socket_match"
	labelTLS       = "tlsMode"
	labelTLSMesh   = "istio"
)

// peers is the servers of a cluster that may be proxies of the mesh.
type peers struct {
	mesh     func(alpn string) *corev3.TransportSocket
	detected bool // they must be told what a connection carries
	requests bool // that is requests, unless the connection says otherwise; else bytes
}

// whereLabelled speaks mutual TLS to endpoints that are labelled so, and plaintext to
// all others.
func (p peers) whereLabelled(c *clusterv3.Cluster) {
	if p.detected {
		p.choose(c, byValue("endpoint", &socketv3.EndpointMetadataInput{
			Filter: labelNamespace,
			Path: []*socketv3.EndpointMetadataInput_PathSegment{{
				Segment: &socketv3.EndpointMetadataInput_PathSegment_Key{Key: labelTLS},
			}},
		}, labelTLSMesh, p.told(), transport(socketPlain)))
		return
	}
	c.TransportSocketMatches = []*clusterv3.Cluster_TransportSocketMatch{{
		Name: "tlsMode-istio",
		Match: &structpb.Struct{Fields: map[string]*structpb.Value{
			labelTLS: structpb.NewStringValue(labelTLSMesh),
		}},
		TransportSocket: p.mesh(tls.ALPN),
	}, {
		Name:            "tlsMode-disabled",
		Match:           &structpb.Struct{},
		TransportSocket: plaintext(),
	}}
}

// whereKnown speaks mutual TLS on connections to addresses that the listener's
// filter knows as pods that take it, and plaintext on all others.
func (p peers) whereKnown(c *clusterv3.Cluster) {
	p.choose(c, byValue("peer", &socketv3.FilterStateInput{Key: typed.StatePeerTLS}, typed.PeerTLSMesh, p.told(), transport(socketPlain)))
}

// everywhere speaks nothing but mutual TLS.
func (p peers) everywhere(c *clusterv3.Cluster) {
	if !p.detected {
		c.TransportSocket = p.mesh(tls.ALPN)
		return
	}
	p.choose(c, p.told().GetMatcher())
}

// told is mutual TLS by the name of what the connection carries. The choice is of
// the cluster and not of the listener, which knows of no server whether it is one of
// the mesh: others refuse names that they do not know.
func (p peers) told() *matcher.Matcher_OnMatch {
	switch carries := (&socketv3.FilterStateInput{Key: typed.StateCarries}); {
	case !p.detected:
		return transport(socketMesh)
	case p.requests:
		return nested(byValue("carries", carries, typed.CarriesBytes, transport(socketMesh), transport(socketRequests)))
	default:
		return nested(byValue("carries", carries, typed.CarriesRequests, transport(socketRequests), transport(socketMesh)))
	}
}

func (p peers) choose(c *clusterv3.Cluster, by *matcher.Matcher) {
	c.TransportSocketMatcher = by
	c.TransportSocketMatches = []*clusterv3.Cluster_TransportSocketMatch{{Name: socketMesh, TransportSocket: p.mesh(tls.ALPN)}}
	if p.detected {
		c.TransportSocketMatches = append(c.TransportSocketMatches,
			&clusterv3.Cluster_TransportSocketMatch{Name: socketRequests, TransportSocket: p.mesh(tls.ALPNHTTP)})
	}
	c.TransportSocketMatches = append(c.TransportSocketMatches,
		&clusterv3.Cluster_TransportSocketMatch{Name: socketPlain, TransportSocket: plaintext()})
}

// byValue is one thing where the input has the value, and else another.
func byValue(name string, input proto.Message, value string, then, otherwise *matcher.Matcher_OnMatch) *matcher.Matcher {
	return &matcher.Matcher{
		MatcherType: &matcher.Matcher_MatcherTree_{MatcherTree: &matcher.Matcher_MatcherTree{
			Input: extension(name, input),
			TreeType: &matcher.Matcher_MatcherTree_ExactMatchMap{ExactMatchMap: &matcher.Matcher_MatcherTree_MatchMap{
				Map: map[string]*matcher.Matcher_OnMatch{value: then},
			}},
		}},
		OnNoMatch: otherwise,
	}
}

func nested(m *matcher.Matcher) *matcher.Matcher_OnMatch {
	return &matcher.Matcher_OnMatch{OnMatch: &matcher.Matcher_OnMatch_Matcher{Matcher: m}}
}

func transport(name string) *matcher.Matcher_OnMatch {
	return &matcher.Matcher_OnMatch{OnMatch: &matcher.Matcher_OnMatch_Action{
		Action: extension(name, &socketv3.TransportSocketNameAction{Name: name}),
	}}
}

func extension(name string, m proto.Message) *xdscore.TypedExtensionConfig {
	return &xdscore.TypedExtensionConfig{Name: name, TypedConfig: typed.Config(m)}
}

func plaintext() *corev3.TransportSocket {
	return &corev3.TransportSocket{
		Name:       "envoy.transport_sockets.raw_buffer",
		ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: rawBuffer},
	}
}
