// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	dynamicv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/dynamic_forward_proxy/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/meshwright/meshwright/internal/envoy/typed"
	"github.com/meshwright/meshwright/internal/ir"
)

// dynamic resolves the name that a client asks for. Routes say it, and the filter that
// reads server names; a cluster alone would take the request's word for the port too.
// Envoy insists on servers being checked by that name, unless it is told that there is
// no TLS or that somebody says otherwise.
// See https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/http/http_proxy.
func dynamic(in *ir.OutboundCluster) *clusterv3.Cluster_ClusterType {
	by := byAuthority(in)
	return resolving(in.Key.Host, by == nil || !by.AutoSanValidation)
}

// Dynamic is the cluster of all names that nobody knows, spoken to as the client speaks.
func Dynamic() *clusterv3.Cluster {
	return &clusterv3.Cluster{
		Name:                          ir.ClusterDynamic,
		ConnectTimeout:                durationpb.New(connectTimeout),
		ClusterDiscoveryType:          resolving("*", true),
		LbPolicy:                      clusterv3.Cluster_CLUSTER_PROVIDED,
		CircuitBreakers:               unlimited(),
		TypedExtensionProtocolOptions: downstreamOptions(false),
	}
}

func resolving(pattern string, unchecked bool) *clusterv3.Cluster_ClusterType {
	return &clusterv3.Cluster_ClusterType{ClusterType: &clusterv3.Cluster_CustomClusterType{
		Name: "envoy.clusters.dynamic_forward_proxy",
		TypedConfig: typed.Config(&dynamicv3.ClusterConfig{
			ClusterImplementationSpecifier: &dynamicv3.ClusterConfig_DnsCacheConfig{DnsCacheConfig: typed.Resolver(pattern)},
			AllowInsecureClusterOptions:    unchecked,
		}),
	}}
}
