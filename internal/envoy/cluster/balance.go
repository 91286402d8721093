// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"math"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshwright/meshwright/internal/ir"
)

func balance(c *clusterv3.Cluster, in *ir.OutboundCluster) {
	if in.Discovery == ir.DiscoverOriginalDst {
		c.LbPolicy = clusterv3.Cluster_CLUSTER_PROVIDED
		return
	}
	switch in.Settings.LoadBalancer.Balance {
	case ir.BalanceRoundRobin:
		c.LbPolicy = clusterv3.Cluster_ROUND_ROBIN
	case ir.BalanceRandom:
		c.LbPolicy = clusterv3.Cluster_RANDOM
	case ir.BalanceHashHeader, ir.BalanceHashCookie, ir.BalanceHashSourceIP, ir.BalanceHashQuery:
		c.LbPolicy = clusterv3.Cluster_RING_HASH
	case ir.BalancePassthrough:
		passthrough(c)
	default:
		c.LbPolicy = clusterv3.Cluster_LEAST_REQUEST
	}
}

// passthrough sends to the address that the application dialled.
func passthrough(c *clusterv3.Cluster) {
	c.LbPolicy = clusterv3.Cluster_CLUSTER_PROVIDED
	c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_ORIGINAL_DST}
	c.EdsClusterConfig = nil
	c.LoadAssignment = nil
}

// noPanic keeps Envoy from sending to endpoints that are known to be bad when
// most of them are.
func noPanic() *clusterv3.Cluster_CommonLbConfig {
	return &clusterv3.Cluster_CommonLbConfig{HealthyPanicThreshold: &typev3.Percent{Value: 0}}
}

// unlimited lifts Envoy's default of 1,024 connections and requests: a limit is
// the user's decision. Retries stay bounded by a budget of the active requests.
func unlimited() *clusterv3.CircuitBreakers {
	most := func() *wrapperspb.UInt32Value { return wrapperspb.UInt32(math.MaxUint32) }
	return &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{{
		MaxConnections:     most(),
		MaxPendingRequests: most(),
		MaxRequests:        most(),
		RetryBudget: &clusterv3.CircuitBreakers_Thresholds_RetryBudget{
			BudgetPercent:       &typev3.Percent{Value: 20},
			MinRetryConcurrency: wrapperspb.UInt32(10),
		},
		TrackRemaining: false,
	}}}
}
