// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"fmt"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshwright/meshwright/internal/ir"
)

var servedSidecar = serves("workloadSelector.labels", "egress[].hosts", "egress[].bind", "egress[].captureMode",
	"egress[].port.number", "egress[].port.protocol", "egress[].port.name", "outboundTrafficPolicy",
	"ingress[].port.number", "ingress[].port.protocol", "ingress[].port.name", "ingress[].defaultEndpoint", "ingress[].captureMode", "ingress[].bind",
	"ingress[].tls.mode", "ingress[].tls.serverCertificate", "ingress[].tls.privateKey", "ingress[].tls.caCertificates", "ingress[].tls.caCrl",
	"ingress[].tls.minProtocolVersion", "ingress[].tls.maxProtocolVersion", "ingress[].tls.cipherSuites",
	"ingress[].tls.verifyCertificateSpki", "ingress[].tls.verifyCertificateHash",
	"ingress[].connectionPool", "inboundConnectionPool")

// maxPatterns bounds the hosts of a Sidecar, each of which is compared with many.
const maxPatterns = 1000

// Sidecar projects a networking.istio.io Sidecar of any version. The row is nil when nothing of the object can be
// served. See https://istio.io/latest/docs/reference/config/networking/sidecar/.
func (s Scope) Sidecar(meta *metav1.ObjectMeta, text []byte) (*ir.Sidecar, []ir.Problem, error) {
	in := &networking.Sidecar{}
	if err := decode(text, in); err != nil {
		return nil, nil, err
	}
	n := &notes{origin: origin(KindSidecar, meta)}
	for _, g := range servedSidecar.gaps(in.ProtoReflect()) {
		if !strings.HasPrefix(g.pattern, "ingress[].tls.") {
			n.ignored(g.at)
		}
	}
	out := &ir.Sidecar{Origin: n.origin, Created: created(meta), Selector: ir.NewLabels(in.GetWorkloadSelector().GetLabels())}
	selects := workloadSelector(n, spec.field("workloadSelector").field("labels"), out.Selector)
	s.egress(n, in.GetEgress(), out)
	inboundRules(n, in, out)
	out.Unknown = s.unknown(n, meta.Namespace, in.GetOutboundTrafficPolicy())
	if !selects {
		out = nil // without the selector it would hold for other workloads
	}
	return out, n.sorted(), nil
}

// egress reads of which hosts the sidecars are told: of all when nothing is said, or
// nothing that can be understood.
func (s Scope) egress(n *notes, in []*networking.IstioEgressListener, out *ir.Sidecar) {
	listed := 0
	for i, l := range in {
		var own ir.HostList
		at := spec.field("egress").index(i).field("hosts")
		if len(l.GetHosts()) == 0 {
			n.invalid(at, "must list hosts, as NAMESPACE/HOST")
		}
		for j, text := range l.GetHosts() {
			if listed++; listed > maxPatterns {
				n.invalid(at.index(j), "is more than the %d hosts that a Sidecar can list; use wildcards", maxPatterns)
				break
			}
			p, excludes, err := s.hostPattern(text)
			switch {
			case err != nil:
				n.invalid(at.index(j), "%v", err)
			case excludes:
				out.Excludes = append(out.Excludes, p)
			default:
				own.Imports = append(own.Imports, p)
				own.All = own.All || p == ir.HostPattern{Host: "*"}
			}
		}
		own.Imports = distinct(own.Imports)
		addEgress(n, spec.field("egress").index(i), i, l, own, out)
	}
	slices.SortFunc(out.Egress, func(a, b ir.EgressPort) int { return strings.Compare(a.At(), b.At()) })
	out.Excludes = distinct(out.Excludes)
	if !out.All && len(out.Imports)+len(out.Ports)+len(out.Excludes) == 0 {
		out.All = true
	}
	completePorts(out)
}

// addHosts lists more hosts.
func addHosts(to *ir.HostList, more ir.HostList) {
	to.All = to.All || more.All
	if to.Imports = distinct(append(to.Imports, more.Imports...)); to.All {
		to.Imports = nil
	}
}

func distinct(list []ir.HostPattern) []ir.HostPattern {
	slices.SortFunc(list, ir.HostPattern.Compare)
	return slices.Compact(list)
}

// hostPattern reads NAMESPACE/HOST, with a tilde in front for what is excluded.
func (s Scope) hostPattern(text string) (p ir.HostPattern, excludes bool, err error) {
	namespace, host, ok := strings.Cut(text, "/")
	if !ok {
		return p, false, fmt.Errorf("%q must be NAMESPACE/HOST, such as ./* for all hosts of the own namespace", text)
	}
	if namespace, excludes = strings.CutPrefix(namespace, "~"); excludes && namespace == "" {
		namespace = "*"
	}
	switch namespace {
	case "*":
	case ir.OwnNamespace:
		p.Namespace = namespace
	default:
		if err := checkLabel(namespace); err != nil {
			return p, false, fmt.Errorf(`namespace %w, or be "*", "." or "~"`, err)
		}
		p.Namespace = namespace
	}
	if err := checkHost(host); err != nil {
		return p, false, fmt.Errorf("host %w", err)
	}
	p.Host = strings.ToLower(host)
	switch short := !strings.ContainsAny(host, ".*:"); {
	case short && p.Namespace == "":
		return p, false, fmt.Errorf("host %q is a short name, which needs a namespace; write the whole name", host)
	case short && p.Namespace != ir.OwnNamespace:
		p.Host = s.Host(p.Namespace, p.Host)
	}
	return p, excludes, nil
}
