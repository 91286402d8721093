// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	commonv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/common/v3"
	leastrequestv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/least_request/v3"
	randomv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/random/v3"
	roundrobinv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/round_robin/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshwright/meshwright/internal/envoy/typed"
	"github.com/meshwright/meshwright/internal/ir"
)

// evenly has Envoy tell no places apart, which it does by itself as soon as it knows
// the pods around it.
func evenly() *clusterv3.Cluster_CommonLbConfig {
	out := noPanic()
	out.LocalityConfigSpecifier = &clusterv3.Cluster_CommonLbConfig_ZoneAwareLbConfig_{
		ZoneAwareLbConfig: &clusterv3.Cluster_CommonLbConfig_ZoneAwareLbConfig{RoutingEnabled: &typev3.Percent{}},
	}
	return out
}

// byZones has Envoy keep what it can in its own place. Places count by the weights of
// what is in them: of the pods around the proxy, one stands there for all of a place. See
// https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/zone_aware.
func byZones(c *clusterv3.Cluster, in *ir.OutboundCluster) {
	places := &commonv3.LocalityLbConfig{LocalityConfigSpecifier: &commonv3.LocalityLbConfig_ZoneAwareLbConfig_{
		ZoneAwareLbConfig: &commonv3.LocalityLbConfig_ZoneAwareLbConfig{
			MinClusterSize: wrapperspb.UInt64(uint64(in.Zones.Least)),
			LocalityBasis:  commonv3.LocalityLbConfig_ZoneAwareLbConfig_HEALTHY_HOSTS_WEIGHT,
		},
	}}
	var warmup *commonv3.SlowStartConfig
	if lb := in.Settings.LoadBalancer; lb.Warmup > 0 {
		legacy := slowStart(lb)
		warmup = &commonv3.SlowStartConfig{
			SlowStartWindow: durationpb.New(lb.Warmup), Aggression: legacy.Aggression, MinWeightPercent: legacy.MinWeightPercent,
		}
	}
	var name string
	var config proto.Message
	switch c.LbPolicy {
	case clusterv3.Cluster_LEAST_REQUEST:
		name, config = "least_request", &leastrequestv3.LeastRequest{LocalityLbConfig: places, SlowStartConfig: warmup}
	case clusterv3.Cluster_ROUND_ROBIN:
		name, config = "round_robin", &roundrobinv3.RoundRobin{LocalityLbConfig: places, SlowStartConfig: warmup}
	case clusterv3.Cluster_RANDOM:
		name, config = "random", &randomv3.Random{LocalityLbConfig: places}
	default:
		return // a hash decides on the endpoint, and so on its place
	}
	c.LbPolicy, c.LbConfig = clusterv3.Cluster_LOAD_BALANCING_POLICY_CONFIG, nil
	c.CommonLbConfig.LocalityConfigSpecifier = nil
	c.LoadBalancingPolicy = &clusterv3.LoadBalancingPolicy{Policies: []*clusterv3.LoadBalancingPolicy_Policy{{
		TypedExtensionConfig: &corev3.TypedExtensionConfig{
			Name: "envoy.load_balancing_policies." + name, TypedConfig: typed.Config(config),
		},
	}}}
}
