// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/meshwright/meshwright/internal/ir"
)

// workloads projects what serves the hosts: endpoints, or the workloads of a selector.
func (e *serviceEntry) workloads(in *networking.ServiceEntry, out *ir.ServiceEntry) {
	at := spec.field("endpoints")
	endpoints := in.Endpoints
	if in.WorkloadSelector != nil {
		selector := spec.field("workloadSelector")
		switch {
		case len(endpoints) > 0:
			e.notes.invalid(selector, "cannot be combined with endpoints, which are in effect")
		case len(in.WorkloadSelector.Labels) == 0:
			e.notes.invalid(selector.field("labels"), "must name at least one label; nothing serves the hosts")
		case out.Resolution == ir.ResolveNone:
			e.notes.invalid(selector, "has no effect with resolution NONE; use STATIC, or DNS where WorkloadEntries have names")
		default:
			out.Selector = ir.NewLabels(in.WorkloadSelector.Labels)
		}
	}
	if len(endpoints) > maxEndpoints {
		e.notes.invalid(at, "has more than %d entries; the others are left out", maxEndpoints)
		endpoints = endpoints[:maxEndpoints]
	}
	for i, in := range endpoints {
		here := at.index(i)
		if in.GetAddress() == "" && out.Resolution != ir.ResolveNone && in.GetNetwork() != "" {
			e.notes.refused(here.field("address"), "an endpoint is reached through the gateway of its network only where it has an address")
			continue
		}
		w, ok := workload(&e.notes, here, in)
		switch {
		case !ok:
			continue
		case w.Name != "" && out.Resolution == ir.ResolveStatic:
			e.notes.invalid(here.field("address"), "%q is a name, and resolution STATIC needs addresses; use DNS", in.GetAddress())
			continue
		}
		for _, p := range w.Ports {
			if !slices.ContainsFunc(out.Ports, func(o ir.ServicePort) bool { return o.Name == p.Name }) {
				e.notes.invalid(here.field("ports").key(p.Name), "spec.ports has no port of that name")
			}
		}
		out.Endpoints = append(out.Endpoints, w)
	}
	switch {
	case out.Resolution == ir.ResolveNone && len(out.Endpoints) > 0:
		e.notes.invalid(at, "have no effect with resolution NONE, which goes where the application called; use STATIC or DNS")
		out.Endpoints = nil
	case out.Resolution == ir.ResolveStatic && len(out.Endpoints) == 0 && len(out.Selector) == 0 && len(in.Endpoints) == 0:
		e.notes.warn(ReasonUnreachable, at, "resolution STATIC needs endpoints or a workloadSelector: requests fail until there is one")
	case out.Resolution == ir.ResolveDNSLogical && len(out.Endpoints) > 1:
		e.notes.invalid(at, "resolution DNS_ROUND_ROBIN takes one endpoint; the first is in effect: use DNS for several")
		out.Endpoints = out.Endpoints[:1]
	}
}

// resolvable is the hosts whose servers can be found: a wildcard is no name to resolve.
func (e *serviceEntry) resolvable(in *networking.ServiceEntry, out *ir.ServiceEntry) []string {
	if out.Resolution != ir.ResolveDNS && out.Resolution != ir.ResolveDNSLogical || len(out.Endpoints) > 0 || len(out.Selector) > 0 {
		return out.Hosts
	}
	var hosts []string
	for _, h := range out.Hosts {
		if !strings.HasPrefix(h, "*") {
			hosts = append(hosts, h)
			continue
		}
		e.notes.invalid(spec.field("hosts").index(indexOfHost(in, h)), "wildcard %s cannot be resolved; use resolution DYNAMIC_DNS or NONE, or name endpoints", h)
	}
	return hosts
}

// dynamic leaves of an entry what can be resolved by the names that clients ask for.
func (e *serviceEntry) dynamic(in *networking.ServiceEntry, out *ir.ServiceEntry) {
	for field, set := range map[string]bool{
		"addresses": len(in.Addresses) > 0, "endpoints": len(in.Endpoints) > 0, "workloadSelector": in.WorkloadSelector != nil,
	} {
		if set {
			e.notes.warn(ReasonUnreachable, spec.field(field), "has no effect with resolution DYNAMIC_DNS, which looks up the name that a client asks for")
		}
	}
	out.Addresses = nil
	out.Hosts = slices.DeleteFunc(out.Hosts, func(h string) bool {
		if strings.HasPrefix(h, "*.") {
			return false
		}
		e.notes.invalid(spec.field("hosts").index(indexOfHost(in, h)), "%s is one name, and resolution DYNAMIC_DNS is for wildcards; use DNS", h)
		return true
	})
	out.Ports = slices.DeleteFunc(out.Ports, func(p ir.ServicePort) bool {
		if p.Protocol.IsHTTP() || p.Protocol.IsTLS() {
			return false
		}
		i := slices.IndexFunc(in.Ports, func(o *networking.ServicePort) bool { return o.GetNumber() == uint32(p.Port) })
		e.notes.invalid(spec.field("ports").index(i).field("protocol"),
			"a client of bytes asks for no name that resolution DYNAMIC_DNS could look up, and the port is left out; use HTTP, HTTP2, GRPC, HTTPS or TLS")
		return true
	})
}

// indexOfHost is where an entry names a host.
func indexOfHost(in *networking.ServiceEntry, host string) int {
	return slices.IndexFunc(in.Hosts, func(o string) bool { return strings.EqualFold(strings.TrimSuffix(o, "."), host) })
}
