// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshwright/meshwright/internal/ir"
)

var servedWorkloadEntry = serves(
	"address", "ports", "labels", "network", "locality", "weight", "serviceAccount",
)

// maxWeight is the most that Envoy adds up within a locality, over the endpoints
// that an object may have.
const maxWeight = 1 << 20

// annotationProbed is on WorkloadEntries of workloads whose health is probed.
const annotationProbed = "proxy.istio.io/health-checks-enabled"

// WorkloadEntry projects a networking.istio.io WorkloadEntry of any version. The row
// is nil when it has no address that a proxy can reach. See
// https://istio.io/latest/docs/reference/config/networking/workload-entry/.
func (s Scope) WorkloadEntry(meta *metav1.ObjectMeta, text []byte) (*ir.Workload, []ir.Problem, error) {
	in := &networking.WorkloadEntry{}
	if err := decode(text, in); err != nil {
		return nil, nil, err
	}
	n := &notes{origin: origin(KindWorkloadEntry, meta)}
	for _, g := range servedWorkloadEntry.gaps(in.ProtoReflect()) {
		n.ignored(g.at)
	}
	w, ok := workload(n, spec, in)
	if !ok {
		return nil, n.sorted(), nil
	}
	// Labels of the object select it, too, as those of a pod do; what its spec says
	// comes first.
	labels := map[string]string{}
	for k, v := range meta.Labels {
		labels[k] = v
	}
	for k, v := range in.Labels {
		labels[k] = v
	}
	w.Labels = ir.NewLabels(labels)
	w.Meshed = meshed(labels, w.ServiceAccount)
	_, w.Probed = meta.Annotations[annotationProbed]
	return &w, n.sorted(), nil
}

// workload projects an endpoint; ok is false when it has no address.
func workload(n *notes, at path, in *networking.WorkloadEntry) (out ir.Workload, ok bool) {
	out = ir.Workload{
		Origin:         n.origin,
		Labels:         ir.NewLabels(in.Labels),
		Network:        in.Network,
		ServiceAccount: in.ServiceAccount,
	}
	ok = address(n, at.field("address"), in.Address, &out)
	ok = workloadPlace(n, at, in, &out) && ok
	if in.ServiceAccount != "" {
		if err := checkName(in.ServiceAccount); err != nil {
			n.invalid(at.field("serviceAccount"), "service account %v", err)
			out.ServiceAccount = ""
		}
	}
	out.Meshed = meshed(in.Labels, out.ServiceAccount)
	return out, ok
}

// meshed tells whether an endpoint terminates the mesh's mutual TLS: one that has an
// identity does, unless its label says otherwise.
func meshed(labels map[string]string, account string) bool {
	if mode, said := labels[labelTLSMode]; said {
		return mode == tlsModeIstio
	}
	return account != ""
}

// workloadPlace projects where an endpoint is, and which ports it has.
func workloadPlace(n *notes, at path, in *networking.WorkloadEntry, out *ir.Workload) bool {
	ok := true
	out.Weight = in.Weight
	out.Locality = locality(n, at.field("locality"), in.Locality)
	for name, number := range in.Ports {
		port, valid := portNumber(int64(number))
		if !valid {
			n.invalid(at.field("ports").key(name), "port %d must be from 1 to 65535", number)
			ok = false
			continue
		}
		out.Ports = append(out.Ports, ir.SlicePort{Name: name, Port: port})
	}
	slices.SortFunc(out.Ports, func(a, b ir.SlicePort) int { return strings.Compare(a.Name, b.Name) })
	if out.Weight > maxWeight {
		n.invalid(at.field("weight"), "%d is more than %d", in.Weight, maxWeight)
		out.Weight = maxWeight
	}
	return ok
}

// address reads an IP address or a DNS name.
func address(n *notes, at path, text string, out *ir.Workload) bool {
	if text == "" {
		n.invalid(at, "is required: an IP address or a DNS name")
		return false
	}
	if strings.HasPrefix(text, "unix:") {
		n.refused(at, "a proxy does not share files with the application, so it cannot reach a Unix socket; give an IP address")
		return false
	}
	if addr, err := netip.ParseAddr(text); err == nil {
		out.Addr = addr.Unmap().WithZone("")
		return true
	}
	if err := checkName(text); err != nil || digits(text) {
		n.invalid(at, "%q is neither an IP address nor a DNS name", text)
		return false
	}
	out.Name = strings.ToLower(strings.TrimSuffix(text, "."))
	return true
}

// digits tells names that can only be addresses with a mistake in them, such as
// 10.0.0.256: no top-level domain is a number. RFC 3696, section 2.
func digits(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	return strings.Trim(last, "0123456789") == ""
}

// locality reads REGION[/ZONE[/SUBZONE]].
func locality(n *notes, at path, text string) ir.Locality {
	parts := strings.Split(text, "/")
	if len(parts) > 3 {
		n.invalid(at, "%q is not REGION/ZONE/SUBZONE", text)
		return ir.Locality{}
	}
	parts = append(parts, "", "")
	return ir.Locality{Region: parts[0], Zone: parts[1], SubZone: parts[2]}
}

// prefix reads an IP address or a CIDR range.
func prefix(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		addr = addr.Unmap().WithZone("")
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is neither an IP address nor a range such as 10.0.0.0/8", text)
	}
	return p.Masked(), nil
}
