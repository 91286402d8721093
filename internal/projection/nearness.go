// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
	corev1 "k8s.io/api/core/v1"

	"github.com/meshwright/meshwright/internal/ir"
)

// maxPriorities is how many labels may rank endpoints; Envoy walks over all of them.
const maxPriorities = 16

// annotationTrafficDistribution says the same as a Service's field, and is asked first.
const annotationTrafficDistribution = "networking.istio.io/traffic-distribution"

// nearness projects which places clients prefer; what is in error prefers nothing. See
// https://istio.io/latest/docs/reference/config/networking/destination-rule/#LocalityLoadBalancerSetting.
func (d *destinationRule) nearness(at path, in *networking.LocalityLoadBalancerSetting) *ir.Nearness {
	if in == nil {
		return nil
	}
	off := &ir.Nearness{Off: true}
	if in.Enabled != nil && !in.Enabled.Value {
		return off
	}
	set := 0
	for _, n := range []int{len(in.Distribute), len(in.Failover), len(in.FailoverPriority)} {
		if n > 0 {
			set++
		}
	}
	before := d.notes.errors()
	if set > 1 {
		d.notes.invalid(at, "must have only one of distribute, failover and failoverPriority; nothing is preferred")
	}
	out := &ir.Nearness{
		Distribute: d.distribute(at.field("distribute"), in.Distribute),
		Failover:   d.failover(at.field("failover"), in.Failover),
		Labels:     d.priorities(at.field("failoverPriority"), in.FailoverPriority),
	}
	if d.notes.errors() > before {
		return off
	}
	return out
}

func (d *destinationRule) distribute(at path, in []*networking.LocalityLoadBalancerSetting_Distribute) []ir.Distribution {
	var out []ir.Distribution
	for i, x := range in {
		here := at.index(i)
		entry := ir.Distribution{From: d.place(here.field("from"), x.GetFrom())}
		var sum uint64
		for _, text := range slices.Sorted(maps.Keys(x.GetTo())) {
			entry.To = append(entry.To, ir.LocalityShare{To: d.place(here.field("to").key(text), text), Percent: x.To[text]})
			sum += uint64(x.To[text])
		}
		if sum != 100 {
			d.notes.invalid(here.field("to"), "the shares must add up to 100, not %d", sum)
		}
		// The most exact place first: it is what a locality belongs to.
		slices.SortStableFunc(entry.To, func(a, b ir.LocalityShare) int { return cmp.Compare(exactness(b.To), exactness(a.To)) })
		out = append(out, entry)
	}
	return out
}

func exactness(p ir.LocalityPattern) int {
	n := 0
	for _, part := range []string{p.Region, p.Zone, p.SubZone} {
		if part != "" {
			n++
		}
	}
	return n
}

// place reads REGION[/ZONE[/SUBZONE]], of which the last part may be *.
func (d *destinationRule) place(at path, text string) ir.LocalityPattern {
	parts := strings.Split(text, "/")
	if len(parts) > 3 {
		d.notes.invalid(at, "locality %q must be REGION/ZONE/SUBZONE or less", text)
		return ir.LocalityPattern{}
	}
	for i, part := range parts {
		if part == "" || part == "*" && i < len(parts)-1 || part != "*" && strings.Contains(part, "*") {
			d.notes.invalid(at, "locality %q must be REGION/ZONE/SUBZONE or less, with * as its last part only", text)
			return ir.LocalityPattern{}
		}
	}
	if parts[len(parts)-1] == "*" {
		parts = parts[:len(parts)-1]
	}
	parts = append(parts, "", "", "")
	return ir.LocalityPattern{Region: parts[0], Zone: parts[1], SubZone: parts[2]}
}

func (d *destinationRule) failover(at path, in []*networking.LocalityLoadBalancerSetting_Failover) []ir.Failover {
	var out []ir.Failover
	for i, x := range in {
		from, to := x.GetFrom(), x.GetTo()
		switch {
		case from == "" || to == "":
			d.notes.invalid(at.index(i), "needs both from and to, each a region")
		case from == to || strings.ContainsAny(from+to, "*/"):
			d.notes.invalid(at.index(i), "%q and %q must be two regions", from, to)
		default:
			out = append(out, ir.Failover{From: from, To: to})
		}
	}
	return out
}

func (d *destinationRule) priorities(at path, in []string) []ir.LabelPriority {
	var out []ir.LabelPriority
	if len(in) > maxPriorities {
		d.notes.invalid(at, "%d labels are more than %d", len(in), maxPriorities)
		return nil
	}
	for i, text := range in {
		key, value, stated := strings.Cut(text, "=")
		switch key {
		case "":
			d.notes.invalid(at.index(i), "%q must be a label's key or KEY=VALUE", text)
		case "kubernetes.io/hostname":
			d.notes.refused(at.index(i), "nothing is preferred")
		default:
			out = append(out, ir.LabelPriority{Key: key, Value: value, Stated: stated})
		}
	}
	return out
}

// unguarded warns of preferences that wait for outlier detection, at the level that
// has neither that nor a wider one's.
func (d *destinationRule) unguarded(at path, near *ir.Nearness, guarded bool) {
	if near != nil && !near.Off && !near.Weighted() && !near.ByZones() && !guarded {
		d.notes.warn(ReasonUnreachable, at.field("loadBalancer").field("localityLbSetting"),
			"has no effect without outlierDetection, which notices that near endpoints fail; add it")
	}
}

// serviceNearness is what a Service prefers: its annotation's word, else its field's.
// Words that are not known prefer nothing, as Kubernetes does. See
// https://kubernetes.io/docs/reference/networking/virtual-ips/#traffic-distribution.
func serviceNearness(in *corev1.Service) *ir.Nearness {
	word := in.Annotations[annotationTrafficDistribution]
	if word == "" && in.Spec.TrafficDistribution != nil {
		word = *in.Spec.TrafficDistribution
	}
	switch word {
	case corev1.ServiceTrafficDistributionPreferClose:
		return &ir.Nearness{}
	case corev1.ServiceTrafficDistributionPreferSameZone, corev1.ServiceTrafficDistributionPreferSameNode:
		return &ir.Nearness{Depth: ir.DepthZone}
	}
	return nil
}
