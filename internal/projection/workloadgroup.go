// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
	"k8s.io/apimachinery/pkg/api/validate/content"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshwright/meshwright/internal/ir"
)

var servedWorkloadGroup = serves(
	"metadata.labels", "metadata.annotations",
	"template.ports", "template.labels", "template.network", "template.locality", "template.weight", "template.serviceAccount",
	"probe.initialDelaySeconds", "probe.timeoutSeconds", "probe.periodSeconds", "probe.successThreshold", "probe.failureThreshold",
	"probe.httpGet", "probe.tcpSocket", "probe.exec", "probe.grpc",
)

// defaultAccount is the service account of machines whose group names none.
const defaultAccount = "default"

// maxGroupBytes bounds the labels and annotations that every WorkloadEntry of a
// group gets; Kubernetes bounds the annotations of an object to 256 KiB.
const maxGroupBytes = 64 << 10

// WorkloadGroup projects a networking.istio.io WorkloadGroup of any version. The row
// is nil when no machine can register with it. See
// https://istio.io/latest/docs/reference/config/networking/workload-group/.
func (s Scope) WorkloadGroup(meta *metav1.ObjectMeta, text []byte) (*ir.WorkloadGroup, []ir.Problem, error) {
	in := &networking.WorkloadGroup{}
	if err := decode(text, in); err != nil {
		return nil, nil, err
	}
	n := &notes{origin: origin(KindWorkloadGroup, meta)}
	for _, g := range servedWorkloadGroup.gaps(in.ProtoReflect()) {
		if g.pattern != "template.address" {
			n.ignored(g.at)
			continue
		}
		n.warn(ReasonNotServed, g.at, "each machine has an address of its own; this one is ignored")
	}
	out := &ir.WorkloadGroup{Origin: n.origin}
	template, ok := s.template(n, spec.field("template"), in.GetTemplate())
	out.Template = template
	// A label of the metadata is stronger than one of the template.
	labels := map[string]string{}
	maps.Copy(labels, in.GetTemplate().GetLabels())
	maps.Copy(labels, in.GetMetadata().GetLabels())
	metadata := spec.field("metadata")
	out.Template.Labels = entryLabels(n, metadata.field("labels"), labels)
	out.Annotations = entryAnnotations(n, metadata.field("annotations"), in.GetMetadata().GetAnnotations())
	if size(labels)+size(in.GetMetadata().GetAnnotations()) > maxGroupBytes {
		n.invalid(metadata, "has more than %d bytes of labels and annotations, which every WorkloadEntry would get", maxGroupBytes)
		ok = false
	}
	out.Template.Meshed = meshed(labels, out.Template.ServiceAccount)
	var probes bool
	out.Probe, probes = probe(n, spec.field("probe"), in.GetProbe())
	if !ok || !probes {
		out = nil // without its probe or its account, machines would get what they must not
	}
	return out, n.sorted(), nil
}

// template projects what the WorkloadEntries have in common.
func (s Scope) template(n *notes, at path, in *networking.WorkloadEntry) (out ir.Workload, ok bool) {
	if in == nil {
		in = &networking.WorkloadEntry{}
	}
	out = ir.Workload{
		Origin: n.origin, Network: in.Network, ServiceAccount: cmp.Or(in.ServiceAccount, defaultAccount),
	}
	ok = workloadPlace(n, at, in, &out)
	if err := checkName(out.ServiceAccount); err != nil {
		n.invalid(at.field("serviceAccount"), "service account %v", err)
		ok = false
	}
	if in.Network != "" {
		if err := checkName(in.Network); err != nil {
			n.invalid(at.field("network"), "%v; it becomes a part of the names of WorkloadEntries", err)
			ok = false
		}
	}
	return out, ok
}

// entryLabels keeps the labels that an object can have.
func entryLabels(n *notes, at path, in map[string]string) ir.Labels {
	out := map[string]string{}
	for k, v := range in {
		problems := slices.Concat(content.IsLabelKey(k), content.IsLabelValue(v))
		if len(problems) > 0 {
			n.invalid(at.key(k), "%q is no label: %s", k+": "+v, problems[0])
			continue
		}
		out[k] = v
	}
	return ir.NewLabels(out)
}

// ownAnnotations is the prefixes of annotations by which the mesh keeps books.
var ownAnnotations = []string{"istio.io/", "proxy.istio.io/", "meshwright.dev/"}

// entryAnnotations keeps the annotations that users may give.
func entryAnnotations(n *notes, at path, in map[string]string) ir.Labels {
	out := map[string]string{}
	for k, v := range in {
		if problems := content.IsLabelKey(strings.ToLower(k)); len(problems) > 0 {
			n.invalid(at.key(k), "%q is no annotation: %s", k, problems[0])
			continue
		}
		if slices.ContainsFunc(ownAnnotations, func(p string) bool { return strings.HasPrefix(k, p) }) {
			n.invalid(at.key(k), "is an annotation of the mesh itself, which says when a machine connected; remove it")
			continue
		}
		out[k] = v
	}
	return ir.NewLabels(out)
}

func size(m map[string]string) int {
	out := 0
	for k, v := range m {
		out += len(k) + len(v)
	}
	return out
}
