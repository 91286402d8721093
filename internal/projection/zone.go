// SPDX-License-Identifier: Apache-2.0

package projection

import (
	networking "istio.io/api/networking/v1alpha3"

	"github.com/meshwright/meshwright/internal/ir"
)

// leastByZones is with how many endpoints in a region its zones are told apart, unless
// it is said: with few, their number says little of what a zone can bear.
const leastByZones = 6

// prefer projects which places clients prefer. Of its two settings that by zones is
// the one that counts.
func (d *destinationRule) prefer(out *ir.LoadBalancer, at path, in *networking.LoadBalancerSettings) {
	here := at.field("zoneAwareLbSetting")
	near, on := d.byZones(here, in.ZoneAwareLbSetting)
	if !on {
		out.NotByZones = in.ZoneAwareLbSetting != nil
		out.Near = d.nearness(at.field("localityLbSetting"), in.LocalityLbSetting)
		return
	}
	out.Near = near
	if l := in.LocalityLbSetting; l != nil && (l.Enabled == nil || l.Enabled.Value) {
		d.notes.invalid(at.field("localityLbSetting"), "contradicts zoneAwareLbSetting, which is in effect; remove one of them")
	}
	switch out.Balance {
	case ir.BalanceDefault, ir.BalanceLeastRequest, ir.BalanceRoundRobin, ir.BalanceRandom:
	case ir.BalancePassthrough:
		d.notes.warn(ReasonUnreachable, here, "has no effect with PASSTHROUGH, as clients choose their server; remove one of them")
	default:
		d.notes.warn(ReasonUnreachable, here,
			"prefers the client's region only, as consistentHash decides on the zone; use simple to keep requests in their zone")
	}
}

// byZones projects that proxies balance by zones; what is in error prefers nothing. ok
// is false where it is not asked for. See
// https://istio.io/latest/docs/reference/config/networking/destination-rule/#ZoneAwareLoadBalancerSetting.
func (d *destinationRule) byZones(at path, in *networking.ZoneAwareLoadBalancerSetting) (near *ir.Nearness, ok bool) {
	if in == nil || in.Enabled != nil && !in.Enabled.Value {
		return nil, false
	}
	before := d.notes.errors()
	out := &ir.Nearness{Zones: &ir.Zones{Least: leastByZones}}
	if in.MinClusterSize != nil {
		if out.Zones.Least = in.MinClusterSize.Value; out.Zones.Least == 0 {
			d.notes.invalid(at.field("minClusterSize"), "must be at least 1")
		}
	}
	out.Failover = d.failover(at.field("failover"), regions(in.Failover))
	here := at.field("failoverPriority")
	out.Labels = d.priorities(here, in.FailoverPriority)
	for i, l := range out.Labels {
		switch l.Key {
		case ir.LabelRegion, ir.LabelZone, ir.LabelSubZone:
			d.notes.invalid(here.index(i), "%s is told apart as it is; remove it", l.Key)
		}
	}
	if d.notes.errors() > before {
		return &ir.Nearness{Off: true}, true
	}
	return out, true
}

// regions is the same in the words of the other setting.
func regions(in []*networking.ZoneAwareLoadBalancerSetting_Failover) []*networking.LocalityLoadBalancerSetting_Failover {
	var out []*networking.LocalityLoadBalancerSetting_Failover
	for _, x := range in {
		out = append(out, &networking.LocalityLoadBalancerSetting_Failover{From: x.GetFrom(), To: x.GetTo()})
	}
	return out
}
