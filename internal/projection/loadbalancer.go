// SPDX-License-Identifier: Apache-2.0

package projection

import (
	networking "istio.io/api/networking/v1alpha3"

	"github.com/meshwright/meshwright/internal/ir"
)

var balances = map[networking.LoadBalancerSettings_SimpleLB]ir.Balance{
	networking.LoadBalancerSettings_UNSPECIFIED:   ir.BalanceDefault,
	networking.LoadBalancerSettings_LEAST_CONN:    ir.BalanceLeastRequest,
	networking.LoadBalancerSettings_LEAST_REQUEST: ir.BalanceLeastRequest,
	networking.LoadBalancerSettings_RANDOM:        ir.BalanceRandom,
	networking.LoadBalancerSettings_PASSTHROUGH:   ir.BalancePassthrough,
	networking.LoadBalancerSettings_ROUND_ROBIN:   ir.BalanceRoundRobin,
}

// sessionCookie and noCookie are values of ir.LoadBalancer.HashTTL.
const (
	sessionCookie = 0
	noCookie      = -1
)

// loadBalancer projects how an endpoint is chosen; the default where it is in error.
func (d *destinationRule) loadBalancer(at path, in *networking.LoadBalancerSettings) ir.LoadBalancer {
	switch policy := in.GetLbPolicy().(type) {
	case *networking.LoadBalancerSettings_Simple:
		balance, ok := balances[policy.Simple]
		if !ok {
			d.notes.invalid(at.field("simple"), "%d is no load balancer", policy.Simple)
		}
		return ir.LoadBalancer{Balance: balance}
	case *networking.LoadBalancerSettings_ConsistentHash:
		return d.consistentHash(at.field("consistentHash"), policy.ConsistentHash)
	}
	return ir.LoadBalancer{}
}

func (d *destinationRule) consistentHash(at path, in *networking.LoadBalancerSettings_ConsistentHashLB) ir.LoadBalancer {
	switch key := in.GetHashKey().(type) {
	case *networking.LoadBalancerSettings_ConsistentHashLB_HttpHeaderName:
		if err := checkHeader(key.HttpHeaderName); err != nil {
			d.notes.invalid(at.field("httpHeaderName"), "%v", err)
			return ir.LoadBalancer{}
		}
		return ir.LoadBalancer{Balance: ir.BalanceHashHeader, HashKey: key.HttpHeaderName}
	case *networking.LoadBalancerSettings_ConsistentHashLB_HttpCookie:
		return d.cookie(at.field("httpCookie"), key.HttpCookie)
	case *networking.LoadBalancerSettings_ConsistentHashLB_UseSourceIp:
		if key.UseSourceIp {
			return ir.LoadBalancer{Balance: ir.BalanceHashSourceIP}
		}
	case *networking.LoadBalancerSettings_ConsistentHashLB_HttpQueryParameterName:
		if key.HttpQueryParameterName != "" {
			return ir.LoadBalancer{Balance: ir.BalanceHashQuery, HashKey: key.HttpQueryParameterName}
		}
	}
	d.notes.invalid(at, "needs one of httpHeaderName, httpCookie, useSourceIp and httpQueryParameterName")
	return ir.LoadBalancer{}
}

// cookie projects a cookie to hash on. The proxy makes one that is missing only if
// the object says for how long it lives.
func (d *destinationRule) cookie(at path, in *networking.LoadBalancerSettings_ConsistentHashLB_HTTPCookie) ir.LoadBalancer {
	if in.GetName() == "" {
		d.notes.invalid(at.field("name"), "must not be empty")
		return ir.LoadBalancer{}
	}
	out := ir.LoadBalancer{Balance: ir.BalanceHashCookie, HashKey: in.Name, HashPath: in.Path, HashTTL: noCookie}
	if in.Ttl != nil {
		ttl := in.Ttl.AsDuration()
		if in.Ttl.CheckValid() != nil || ttl < sessionCookie {
			d.notes.invalid(at.field("ttl"), "%v must not be negative", ttl)
			return ir.LoadBalancer{}
		}
		out.HashTTL = int64(ttl)
	}
	return out
}
