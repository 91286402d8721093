// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"math"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshwright/meshwright/internal/ir"
)

func balance(c *clusterv3.Cluster, in *ir.OutboundCluster) {
	switch in.Discovery {
	case ir.DiscoverOriginalDst, ir.DiscoverPod, ir.DiscoverDynamic:
		c.LbPolicy = clusterv3.Cluster_CLUSTER_PROVIDED
		return
	}
	lb := in.Settings.LoadBalancer
	switch lb.Balance {
	case ir.BalanceRoundRobin:
		c.LbPolicy = clusterv3.Cluster_ROUND_ROBIN
		if lb.Warmup > 0 {
			c.LbConfig = &clusterv3.Cluster_RoundRobinLbConfig_{
				RoundRobinLbConfig: &clusterv3.Cluster_RoundRobinLbConfig{SlowStartConfig: slowStart(lb)},
			}
		}
	case ir.BalanceRandom:
		c.LbPolicy = clusterv3.Cluster_RANDOM
	case ir.BalanceHashHeader, ir.BalanceHashCookie, ir.BalanceHashSourceIP, ir.BalanceHashQuery:
		table(c, lb)
	case ir.BalancePassthrough:
		passthrough(c)
	default:
		c.LbPolicy = clusterv3.Cluster_LEAST_REQUEST
		if lb.Warmup > 0 {
			c.LbConfig = &clusterv3.Cluster_LeastRequestLbConfig_{
				LeastRequestLbConfig: &clusterv3.Cluster_LeastRequestLbConfig{SlowStartConfig: slowStart(lb)},
			}
		}
	}
}

func table(c *clusterv3.Cluster, lb ir.LoadBalancer) {
	var size *wrapperspb.UInt64Value
	if lb.TableSize > 0 {
		size = wrapperspb.UInt64(lb.TableSize)
	}
	c.LbPolicy = clusterv3.Cluster_RING_HASH
	if lb.Maglev {
		c.LbPolicy = clusterv3.Cluster_MAGLEV
	}
	switch {
	case size == nil:
	case lb.Maglev:
		c.LbConfig = &clusterv3.Cluster_MaglevLbConfig_{MaglevLbConfig: &clusterv3.Cluster_MaglevLbConfig{TableSize: size}}
	default:
		c.LbConfig = &clusterv3.Cluster_RingHashLbConfig_{RingHashLbConfig: &clusterv3.Cluster_RingHashLbConfig{MinimumRingSize: size}}
	}
}

func slowStart(lb ir.LoadBalancer) *clusterv3.Cluster_SlowStartConfig {
	return &clusterv3.Cluster_SlowStartConfig{
		SlowStartWindow: durationpb.New(lb.Warmup),
		Aggression: &corev3.RuntimeDouble{
			DefaultValue: lb.WarmupAggression,
			RuntimeKey:   "meshwright.slow_start.aggression", // Envoy wants one; nothing sets it
		},
		MinWeightPercent: &typev3.Percent{Value: lb.WarmupPercent},
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

// stickyStatuses lets requests name an endpoint that is going away, too. It is never
// written.
var stickyStatuses = &corev3.HealthStatusSet{Statuses: []corev3.HealthStatus{
	corev3.HealthStatus_UNKNOWN, corev3.HealthStatus_HEALTHY, corev3.HealthStatus_DEGRADED, corev3.HealthStatus_DRAINING,
}}

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
