// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshwright/meshwright/internal/ir"
)

var servedServiceEntry = serves(
	"hosts", "addresses", "exportTo", "location", "resolution", "subjectAltNames",
	"ports[].number", "ports[].name", "ports[].protocol", "ports[].targetPort",
	"endpoints[].address", "endpoints[].ports", "endpoints[].labels", "endpoints[].network",
	"endpoints[].locality", "endpoints[].weight", "endpoints[].serviceAccount",
	"workloadSelector.labels",
)

// labelAllocate set to "false" keeps hosts without an address. See
// https://istio.io/latest/docs/reference/config/labels/#NetworkingEnableAutoallocateIp.
const labelAllocate = "networking.istio.io/enable-autoallocate-ip"

// maxAddresses and maxEndpoints bound what one object makes proxies hold. They are
// those of the API.
const (
	maxEntryHosts   = 256
	maxAddresses    = 256
	maxEntryPorts   = 256
	maxEndpoints    = 4096
	maxSubjectNames = 256
)

// ServiceEntry projects a networking.istio.io ServiceEntry of any version. The row is
// nil when nothing of the object can be served. See
// https://istio.io/latest/docs/reference/config/networking/service-entry/.
func (s Scope) ServiceEntry(meta *metav1.ObjectMeta, text []byte) (*ir.ServiceEntry, []ir.Problem, error) {
	in := &networking.ServiceEntry{}
	if err := decode(text, in); err != nil {
		return nil, nil, err
	}
	e := &serviceEntry{notes: notes{origin: origin(KindServiceEntry, meta)}, domain: s.Domain}
	for _, g := range servedServiceEntry.gaps(in.ProtoReflect()) {
		e.notes.ignored(g.at)
	}
	out := &ir.ServiceEntry{
		Origin:   e.notes.origin,
		Created:  created(meta),
		External: in.Location == networking.ServiceEntry_MESH_EXTERNAL,
		ExportTo: exportTo(&e.notes, spec.field("exportTo"), meta.Namespace, orDefault(in.ExportTo, s.exports().Services)),
	}
	known := e.resolution(in, out)
	out.Ports = e.ports(in.Ports)
	out.Addresses = e.addresses(in.Addresses)
	out.Hosts = e.hosts(in.Hosts)
	if out.Resolution == ir.ResolveDynamic {
		e.dynamic(in, out)
	} else {
		e.workloads(in, out)
		out.Hosts = e.resolvable(in, out)
	}
	out.Allocate = len(in.Addresses) == 0 && out.Resolution != ir.ResolveNone && out.Resolution != ir.ResolveDynamic && !strings.EqualFold(meta.Labels[labelAllocate], "false")
	out.SubjectAltNames = e.subjects(in.SubjectAltNames)
	if !known || len(out.Hosts) == 0 || len(out.Ports) == 0 {
		out = nil
	}
	return out, e.notes.sorted(), nil
}

// serviceEntry is one projection under way.
type serviceEntry struct {
	notes  notes
	domain string
}

func (e *serviceEntry) resolution(in *networking.ServiceEntry, out *ir.ServiceEntry) bool {
	switch in.Resolution {
	case networking.ServiceEntry_NONE:
		out.Resolution = ir.ResolveNone
	case networking.ServiceEntry_STATIC:
		out.Resolution = ir.ResolveStatic
	case networking.ServiceEntry_DNS:
		out.Resolution = ir.ResolveDNS
	case networking.ServiceEntry_DNS_ROUND_ROBIN:
		out.Resolution = ir.ResolveDNSLogical
	case networking.ServiceEntry_DYNAMIC_DNS:
		out.Resolution = ir.ResolveDynamic
	default:
		e.notes.invalid(spec.field("resolution"), "%d is no resolution", in.Resolution)
		return false
	}
	return true
}

func (e *serviceEntry) hosts(in []string) []string {
	at := spec.field("hosts")
	if len(in) == 0 {
		e.notes.invalid(at, "must name at least one host")
	}
	if len(in) > maxEntryHosts {
		e.notes.invalid(at, "names more than %d hosts; the others are left out: use another ServiceEntry for them", maxEntryHosts)
		in = in[:maxEntryHosts]
	}
	var out []string
	for i, h := range in {
		here := at.index(i)
		h = strings.ToLower(strings.TrimSuffix(h, "."))
		if err := checkHost(h); err != nil {
			e.notes.invalid(here, "host %v", err)
			continue
		}
		_, err := netip.ParseAddr(h)
		switch {
		case h == "*":
			e.notes.invalid(here, `"*" would take every request; name hosts, or set the mesh's outboundTrafficPolicy`)
		case err == nil:
			e.notes.invalid(here, "%q is an address; give it as spec.addresses and name the host", h)
		case !strings.Contains(h, "."):
			e.notes.invalid(here, "%q has no dot: such a name means the Service of that name in the client's namespace", h)
		case slices.Contains(out, h):
			e.notes.invalid(here, "host %s is named twice", h)
		default:
			out = append(out, h)
		}
	}
	slices.Sort(out)
	return out
}

func (e *serviceEntry) addresses(in []string) []netip.Prefix {
	at := spec.field("addresses")
	if len(in) > maxAddresses {
		e.notes.invalid(at, "has more than %d entries; the others are left out: use ranges", maxAddresses)
		in = in[:maxAddresses]
	}
	var out []netip.Prefix
	for i, text := range in {
		p, err := prefix(text)
		switch {
		case err != nil:
			e.notes.invalid(at.index(i), "%v", err)
		case p.Bits() == 0:
			e.notes.invalid(at.index(i), "%s would take every connection; name addresses", text)
		default:
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	return slices.Compact(out)
}

// entryProtocols is the protocols that a port may name; every other one carries bytes.
var entryProtocols = map[string]ir.Protocol{
	"HTTP":     ir.ProtocolHTTP,
	"HTTP2":    ir.ProtocolHTTP2,
	"GRPC":     ir.ProtocolGRPC,
	"GRPC-WEB": ir.ProtocolGRPCWeb,
	"HTTPS":    ir.ProtocolHTTPS,
	"TLS":      ir.ProtocolTLS,
	"TCP":      ir.ProtocolTCP,
	"MONGO":    ir.ProtocolTCP,
	"MYSQL":    ir.ProtocolTCP,
	"REDIS":    ir.ProtocolTCP,
}

func (e *serviceEntry) ports(in []*networking.ServicePort) []ir.ServicePort {
	at := spec.field("ports")
	if len(in) == 0 {
		e.notes.invalid(at, "must name at least one port")
	}
	if len(in) > maxEntryPorts {
		e.notes.invalid(at, "names more than %d ports; the others are left out", maxEntryPorts)
		in = in[:maxEntryPorts]
	}
	var out []ir.ServicePort
	for i, p := range in {
		here := at.index(i)
		number, ok := portNumber(int64(p.GetNumber()))
		target, okTarget := portNumber(int64(cmp.Or(p.GetTargetPort(), p.GetNumber())))
		protocol, known := entryProtocols[strings.ToUpper(p.GetProtocol())]
		switch {
		case !ok:
			e.notes.invalid(here.field("number"), "port %d must be from 1 to 65535", p.GetNumber())
			continue
		case !okTarget:
			e.notes.invalid(here.field("targetPort"), "port %d must be from 1 to 65535", p.GetTargetPort())
			continue
		case strings.EqualFold(p.GetProtocol(), "UDP"):
			e.notes.refused(here.field("protocol"), "proxies carry TCP only, and leave UDP as it is")
			continue
		case !known:
			e.notes.invalid(here.field("protocol"), "%q is no protocol; the port carries bytes: use HTTP, HTTPS, GRPC, HTTP2, MONGO, TCP or TLS", p.GetProtocol())
		}
		if slices.ContainsFunc(out, func(o ir.ServicePort) bool { return o.Port == number }) {
			e.notes.invalid(here.field("number"), "port %d is named twice; the first is in effect", number)
			continue
		}
		if slices.ContainsFunc(out, func(o ir.ServicePort) bool { return o.Name == p.GetName() }) {
			e.notes.invalid(here.field("name"), "port name %q is used twice; the first is in effect", p.GetName())
			continue
		}
		out = append(out, ir.ServicePort{Name: p.GetName(), Port: number, Protocol: protocol, Target: target})
	}
	slices.SortFunc(out, func(a, b ir.ServicePort) int { return cmp.Compare(a.Port, b.Port) })
	return out
}

func (e *serviceEntry) subjects(in []string) []string {
	at := spec.field("subjectAltNames")
	if len(in) > maxSubjectNames {
		e.notes.invalid(at, "has more than %d entries; the others are left out", maxSubjectNames)
		in = in[:maxSubjectNames]
	}
	out := slices.Clone(in)
	slices.Sort(out)
	out = slices.Compact(out)
	if i, found := slices.BinarySearch(out, ""); found {
		e.notes.invalid(at, "must not have an empty entry")
		out = slices.Delete(out, i, i+1)
	}
	return out
}
