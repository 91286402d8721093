// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/meshwright/meshwright/internal/envoy/tls"
	"github.com/meshwright/meshwright/internal/envoy/typed"
	"github.com/meshwright/meshwright/internal/ir"
)

// Keys is the servers that have the keys of an issuer of tokens, by their name in DNS.
func Keys(in *ir.KeysSource) *clusterv3.Cluster {
	c := &clusterv3.Cluster{
		Name:                 in.ClusterName(),
		ConnectTimeout:       durationpb.New(in.Timeout),
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STRICT_DNS},
		DnsLookupFamily:      clusterv3.Cluster_V4_PREFERRED,
		RespectDnsTtl:        true, //nolint:staticcheck // what replaces it is a cluster type with a name of its own
		LoadAssignment: &endpointv3.ClusterLoadAssignment{
			ClusterName: in.ClusterName(),
			Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
				HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: typed.Address(in.Host, in.Port)}},
			}}}},
		},
	}
	if in.TLS {
		c.TransportSocket = tls.Origination(&ir.ClientTLS{Mode: ir.TLSSimple, SNI: in.Host, SubjectAltNames: []string{in.Host}}, nil, false)
	}
	return c
}
