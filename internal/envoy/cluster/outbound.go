// SPDX-License-Identifier: Apache-2.0

// Package cluster builds Envoy's clusters.
// See https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/cluster/v3/cluster.proto.
package cluster

import (
	"cmp"
	"slices"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/meshwright/meshwright/internal/envoy/endpoint"
	"github.com/meshwright/meshwright/internal/envoy/tls"
	"github.com/meshwright/meshwright/internal/envoy/typed"
	"github.com/meshwright/meshwright/internal/ir"
)

const connectTimeout = 10 * time.Second

// Outbound is a client's cluster for one host, port and subset.
func Outbound(in *ir.OutboundCluster) *clusterv3.Cluster {
	if in.Secrets != nil && in.Secrets.Missing {
		closed := Empty(in.Key.Name())
		closed.Metadata = typed.Origins(in.Origins)
		return closed
	}
	c := &clusterv3.Cluster{
		Name:            in.Key.Name(),
		ConnectTimeout:  durationpb.New(cmp.Or(in.Defaults.ConnectTimeout, connectTimeout)),
		CircuitBreakers: unlimited(),
		CommonLbConfig:  evenly(),
		Metadata:        typed.Origins(in.Origins),
	}
	if in.Auto {
		c.Name = in.Key.AutoName()
	}
	discover(c, in)
	balance(c, in)
	if in.Zones != nil && !in.Auto {
		byZones(c, in)
	}
	if in.Weighted && !in.Auto {
		c.CommonLbConfig.LocalityConfigSpecifier = &clusterv3.Cluster_CommonLbConfig_LocalityWeightedLbConfig_{
			LocalityWeightedLbConfig: &clusterv3.Cluster_CommonLbConfig_LocalityWeightedLbConfig{},
		}
	}
	if in.Sticky && !in.Auto {
		c.CommonLbConfig.OverrideHostStatus = stickyStatuses
	}
	if !in.Auto {
		secure(c, in)
		proxyProtocol(c, in.Settings.ProxyProtocol)
	}
	keepalive(c, in.Defaults.Keepalive)
	retries(c, in.Defaults.RetryBudget)
	pool(c, in.Settings.Pool)
	retries(c, in.Settings.RetryBudget)
	outliers(c, in.Settings.Outliers)
	if in.Protocol.MayBeHTTP() && !in.Auto {
		c.TypedExtensionProtocolOptions = outboundOptions(in)
	}
	return c
}

// As is Outbound under another name. It has the same endpoints and is counted under the
// same name.
func As(in *ir.OutboundCluster, name string) *clusterv3.Cluster {
	c := Outbound(in)
	if c.EdsClusterConfig != nil {
		c.EdsClusterConfig.ServiceName = c.Name
	}
	c.AltStatName, c.Name = c.Name, name
	return c
}

func discover(c *clusterv3.Cluster, in *ir.OutboundCluster) {
	switch in.Discovery {
	case ir.DiscoverOriginalDst, ir.DiscoverPod:
		c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_ORIGINAL_DST}
		otherPort(c, in.PodPort)
	case ir.DiscoverDNS, ir.DiscoverDNSLogical:
		c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STRICT_DNS}
		if in.Discovery == ir.DiscoverDNSLogical {
			c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_LOGICAL_DNS}
		}
		c.DnsLookupFamily = clusterv3.Cluster_V4_PREFERRED
		c.RespectDnsTtl = true //nolint:staticcheck // what replaces it is a cluster type with a name of its own
		if in.Endpoints != nil {
			c.LoadAssignment = endpoint.Assignment(in.Endpoints)
			return
		}
		c.LoadAssignment = &endpointv3.ClusterLoadAssignment{
			ClusterName: c.Name,
			Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
				HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{
					Address: typed.Address(in.Alias, in.Key.Port),
				}},
			}}}},
		}
	case ir.DiscoverDynamic:
		c.ClusterDiscoveryType = dynamic(in)
	default:
		c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS}
		c.EdsClusterConfig = &clusterv3.Cluster_EdsClusterConfig{EdsConfig: typed.ADS()}
	}
}

// secure chooses the transport. Without the user's word each endpoint gets what
// it can do: mutual TLS where its metadata says so, else plaintext.
func secure(c *clusterv3.Cluster, in *ir.OutboundCluster) {
	server, set := in.Key, in.Settings.TLS
	server.Host = cmp.Or(in.Of, server.Host)
	identities, sni := names(in.Identities, in.SubjectAltNames), server.SNI()
	if set != nil {
		sni = cmp.Or(set.SNI, sni)
		if len(set.SubjectAltNames) > 0 {
			identities = set.SubjectAltNames
		}
	}
	to := peers{detected: in.Detected, requests: in.Protocol.IsHTTP(), mesh: func(alpn string) *corev3.TransportSocket {
		return tls.MeshClient(in.TrustDomain, identities, sni, alpn)
	}}
	switch {
	case set == nil && !in.External && (in.Discovery == ir.DiscoverEDS || meshed(in.Endpoints)):
		to.whereLabelled(c)
	case set == nil && in.Discovery == ir.DiscoverPod:
		to.whereKnown(c)
	case set == nil || set.Mode == ir.TLSDisable:
	case set.Mode == ir.TLSMesh:
		to.everywhere(c)
	default:
		c.TransportSocket = tls.Origination(ownTLS(in), in.Secrets, speaksHTTP2(in))
	}
}

// ownTLS is the settings of a client of TLS that is not the mesh's.
func ownTLS(in *ir.OutboundCluster) *ir.ClientTLS {
	own := *in.Settings.TLS
	if len(own.SubjectAltNames) == 0 && !own.InsecureSkipVerify {
		own.SubjectAltNames = in.SubjectAltNames
	}
	if own.Credential != "" && in.Secrets == nil {
		own.Mode = ir.TLSSimple // the certificate is for others
	}
	return &own
}

// names joins the names that a server's certificate may have.
func names(identities, others []string) []string {
	if len(others) == 0 {
		return identities
	}
	out := slices.Concat(identities, others)
	slices.Sort(out)
	return slices.Compact(out)
}

// meshed tells whether any of the endpoints takes mutual TLS.
func meshed(a *ir.Assignment) bool {
	return a != nil && slices.ContainsFunc(a.Localities, func(l ir.LocalityEndpoints) bool {
		return slices.ContainsFunc(l.Endpoints, func(e ir.Endpoint) bool { return e.TLS })
	})
}
