// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/meshwright/meshwright/internal/ir"
)

// annotationExportTo lists the namespaces that see a Service. See
// https://istio.io/latest/docs/reference/config/annotations/#NetworkingExportTo.
const annotationExportTo = "networking.istio.io/exportTo"

// Service projects a core/v1 Service.
func (s Scope) Service(in *corev1.Service) *ir.Service {
	out := &ir.Service{
		Key:            s.key(&in.ObjectMeta),
		Host:           s.Host(in.Namespace, in.Name),
		Headless:       in.Spec.ClusterIP == corev1.ClusterIPNone,
		Selector:       ir.NewLabels(in.Spec.Selector),
		Created:        created(&in.ObjectMeta),
		Near:           serviceNearness(in),
		PublishUnready: in.Spec.PublishNotReadyAddresses,
		ExportTo:       s.serviceExport(&in.ObjectMeta),
		Session:        session(&in.ObjectMeta),
		Outside:        outside(in),
		IPv6First:      isIPv6First(&in.Spec),
	}
	if in.Spec.Type == corev1.ServiceTypeExternalName {
		out.ExternalName = in.Spec.ExternalName
	} else {
		out.VIPs = serviceAddresses(&in.Spec)
	}
	for i := range in.Spec.Ports {
		p := &in.Spec.Ports[i]
		number, ok := portNumber(int64(p.Port))
		if !ok {
			continue
		}
		out.Ports = append(out.Ports, ir.ServicePort{
			Name: p.Name, Port: number, Target: targetPort(&in.Spec, p, number),
			Protocol: protocolOf(p.Protocol, p.AppProtocol, p.Name, number),
		})
	}
	slices.SortFunc(out.Ports, func(a, b ir.ServicePort) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// outside is where clients outside the cluster find a Service.
func outside(in *corev1.Service) []ir.HostAddress {
	var out []ir.HostAddress
	add := func(ip, host string) {
		addr, _ := netip.ParseAddr(ip) // not valid: it has a name only
		if addr.IsValid() || host != "" {
			out = append(out, ir.HostAddress{Host: host, Addr: addr})
		}
	}
	for _, at := range in.Status.LoadBalancer.Ingress {
		add(at.IP, at.Hostname)
	}
	if len(out) == 0 {
		for _, ip := range in.Spec.ExternalIPs {
			add(ip, "")
		}
	}
	slices.SortFunc(out, ir.HostAddress.Compare)
	return slices.Compact(out)
}

// serviceExport reads who sees a Service: nil is everybody. Services have no status
// for problems, so an entry that is in error narrows the Service to its own namespace.
func (s Scope) serviceExport(meta *metav1.ObjectMeta) *ir.Visibility {
	text := strings.TrimSpace(meta.Annotations[annotationExportTo])
	var entries []string
	for entry := range strings.SplitSeq(text, ",") {
		if text != "" {
			entries = append(entries, strings.TrimSpace(entry))
		}
	}
	out := exportTo(&notes{}, spec, meta.Namespace, orDefault(entries, s.exports().Services))
	if out.All {
		return nil
	}
	return &out
}

// targetPort is the number of the port in the pods. The API says that a headless
// Service without a selector has no other than its own.
func targetPort(spec *corev1.ServiceSpec, p *corev1.ServicePort, number uint16) uint16 {
	switch target, ok := portNumber(int64(p.TargetPort.IntVal)); {
	case p.TargetPort.Type == intstr.String:
		return 0
	case !ok || spec.ClusterIP == corev1.ClusterIPNone && len(spec.Selector) == 0:
		return number
	default:
		return target
	}
}

// serviceAddresses keeps the order of the API: the first is of the primary family.
func serviceAddresses(spec *corev1.ServiceSpec) []netip.Addr {
	texts := spec.ClusterIPs
	if len(texts) == 0 {
		texts = []string{spec.ClusterIP}
	}
	var out []netip.Addr
	for _, t := range texts {
		if addr, err := netip.ParseAddr(t); err == nil {
			out = append(out, addr.Unmap())
		}
	}
	return out
}

// isIPv6First tells by which family servers of both are called: the API's first one.
func isIPv6First(spec *corev1.ServiceSpec) bool {
	return len(spec.IPFamilies) > 0 && spec.IPFamilies[0] == corev1.IPv6Protocol
}

func portNumber(n int64) (uint16, bool) {
	if n < 1 || n > 65535 {
		return 0, false
	}
	return uint16(n), true
}
