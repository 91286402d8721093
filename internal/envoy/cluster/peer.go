// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	xdscore "github.com/cncf/xds/go/xds/core/v3"
	matcher "github.com/cncf/xds/go/xds/type/matcher/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	socketv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/transport_socket/v3"
	"google.golang.org/protobuf/proto"

	"github.com/meshwright/meshwright/internal/envoy/typed"
)

// The names of the transports of a cluster that has no endpoints to say which they take.
const (
	socketMesh  = "mesh"
	socketPlain = "plain"
)

// whereKnown speaks mutual TLS on connections to addresses that the listener's
// filter knows as pods that take it, and plaintext on all others.
func whereKnown(c *clusterv3.Cluster, mesh *corev3.TransportSocket) {
	c.TransportSocketMatches = []*clusterv3.Cluster_TransportSocketMatch{
		{Name: socketMesh, TransportSocket: mesh},
		{Name: socketPlain, TransportSocket: plaintext()},
	}
	c.TransportSocketMatcher = &matcher.Matcher{
		MatcherType: &matcher.Matcher_MatcherTree_{MatcherTree: &matcher.Matcher_MatcherTree{
			Input: extension("peer", &socketv3.FilterStateInput{Key: typed.StatePeerTLS}),
			TreeType: &matcher.Matcher_MatcherTree_ExactMatchMap{ExactMatchMap: &matcher.Matcher_MatcherTree_MatchMap{
				Map: map[string]*matcher.Matcher_OnMatch{typed.PeerTLSMesh: transport(socketMesh)},
			}},
		}},
		OnNoMatch: transport(socketPlain),
	}
}

func transport(name string) *matcher.Matcher_OnMatch {
	return &matcher.Matcher_OnMatch{OnMatch: &matcher.Matcher_OnMatch_Action{
		Action: extension(name, &socketv3.TransportSocketNameAction{Name: name}),
	}}
}

func extension(name string, m proto.Message) *xdscore.TypedExtensionConfig {
	return &xdscore.TypedExtensionConfig{Name: name, TypedConfig: typed.Config(m)}
}
