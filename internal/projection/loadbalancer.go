// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"math"
	"math/big"
	"strings"

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

// maxRingSize and maxTableSize are the most that Envoy takes.
const (
	maxRingSize  = 8 << 20
	maxTableSize = 5_000_011
)

// loadBalancer projects how an endpoint is chosen; the default where it is in error.
// A load balancer that leaves the algorithm open still hides that of other levels.
func (d *destinationRule) loadBalancer(at path, in *networking.LoadBalancerSettings) ir.LoadBalancer {
	if in == nil {
		return ir.LoadBalancer{}
	}
	out := ir.LoadBalancer{Balance: ir.BalanceLeastRequest}
	switch policy := in.GetLbPolicy().(type) {
	case *networking.LoadBalancerSettings_Simple:
		balance, ok := balances[policy.Simple]
		if !ok {
			d.notes.invalid(at.field("simple"), "%d is no load balancer", policy.Simple)
			return ir.LoadBalancer{}
		}
		out.Balance = balance
	case *networking.LoadBalancerSettings_ConsistentHash:
		out = d.consistentHash(at.field("consistentHash"), policy.ConsistentHash)
		if out.Balance != ir.BalanceDefault {
			d.table(&out, at.field("consistentHash"), policy.ConsistentHash)
		}
	}
	d.warmup(&out, at, in)
	d.prefer(&out, at, in)
	return out
}

// warmup projects slow start, which only some algorithms have. See
// https://istio.io/latest/docs/reference/config/networking/destination-rule/#WarmupConfiguration.
func (d *destinationRule) warmup(out *ir.LoadBalancer, at path, in *networking.LoadBalancerSettings) {
	if in.Warmup == nil && in.WarmupDurationSecs == nil {
		return
	}
	if in.Warmup != nil && in.WarmupDurationSecs != nil {
		d.notes.invalid(at.field("warmupDurationSecs"), "contradicts warmup; remove it")
		return
	}
	before := d.notes.errors()
	w := ir.LoadBalancer{WarmupPercent: 10, WarmupAggression: 1}
	here := at.field("warmup")
	if in.Warmup == nil {
		here = at.field("warmupDurationSecs")
		w.Warmup = d.timeout(here, in.WarmupDurationSecs)
	} else {
		if in.Warmup.Duration == nil {
			d.notes.invalid(here.field("duration"), "is required")
		}
		w.Warmup = d.timeout(here.field("duration"), in.Warmup.Duration)
		if p := in.Warmup.MinimumPercent; p != nil {
			w.WarmupPercent = d.share(here.field("minimumPercent"), p.Value)
		}
		if a := in.Warmup.Aggression; a != nil {
			w.WarmupAggression = a.Value
			if !(a.Value > 0 && a.Value <= math.MaxFloat32) {
				d.notes.invalid(here.field("aggression"), "%v must be more than 0", a.Value)
			}
		}
	}
	switch {
	case d.notes.errors() > before:
	case out.Balance == ir.BalanceLeastRequest || out.Balance == ir.BalanceRoundRobin:
		out.Warmup, out.WarmupPercent, out.WarmupAggression = w.Warmup, w.WarmupPercent, w.WarmupAggression
	default:
		d.notes.warn(ReasonUnreachable, here, "only ROUND_ROBIN and LEAST_REQUEST have a warm-up")
	}
}

// share reads a percentage that may have a fraction.
func (d *destinationRule) share(at path, in float64) float64 {
	if !(in >= 0 && in <= 100) { // not a number is neither
		d.notes.invalid(at, "%v must be from 0 to 100", in)
		return 0
	}
	return in
}

// table projects the algorithm of consistent hashing; its default where it is in error.
func (d *destinationRule) table(out *ir.LoadBalancer, at path, in *networking.LoadBalancerSettings_ConsistentHashLB) {
	size, here := in.MinimumRingSize, at.field("minimumRingSize")
	switch algorithm := in.GetHashAlgorithm().(type) {
	case *networking.LoadBalancerSettings_ConsistentHashLB_Maglev:
		out.Maglev = true
		size, here = algorithm.Maglev.GetTableSize(), at.field("maglev").field("tableSize")
		if size != 0 && (size >= maxTableSize || !new(big.Int).SetUint64(size).ProbablyPrime(0)) {
			d.notes.invalid(here, "%d must be a prime number less than %d", size, maxTableSize)
			return
		}
	case *networking.LoadBalancerSettings_ConsistentHashLB_RingHash_:
		size, here = algorithm.RingHash.GetMinimumRingSize(), at.field("ringHash").field("minimumRingSize")
	}
	if !out.Maglev && size > maxRingSize {
		d.notes.invalid(here, "%d must be at most %d", size, maxRingSize)
		return
	}
	out.TableSize = size
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
	if err := checkCookie(in.Name); err != nil {
		d.notes.invalid(at.field("name"), "%v", err)
		return ir.LoadBalancer{}
	}
	if strings.ContainsFunc(in.Path, func(r rune) bool { return r < ' ' || r > '~' || r == ';' }) {
		d.notes.invalid(at.field("path"), "%q must consist of ASCII letters, digits and signs, without semicolon", in.Path)
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
