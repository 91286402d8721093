// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"cmp"

	corev1 "k8s.io/api/core/v1"

	"github.com/meshwright/meshwright/internal/ir"
)

// Labels that the mesh reads.
const (
	labelTLSMode = "security.istio.io/tlsMode" // "istio": the pod's proxy terminates mutual TLS
	labelNetwork = "topology.istio.io/network"
	labelSubZone = "topology.istio.io/subzone"
)

// Pod projects a core/v1 Pod. It is nil for a pod without an address and for one
// that has ended, whose address may belong to another pod already.
func (s Scope) Pod(in *corev1.Pod) *ir.Pod {
	if in.Status.PodIP == "" || in.Status.Phase == corev1.PodSucceeded || in.Status.Phase == corev1.PodFailed {
		return nil
	}
	return &ir.Pod{
		Key:            s.key(&in.ObjectMeta),
		Labels:         ir.NewLabels(in.Labels),
		ServiceAccount: cmp.Or(in.Spec.ServiceAccountName, "default"),
		Node:           in.Spec.NodeName,
		Meshed:         in.Labels[labelTLSMode] == "istio" && !in.Spec.HostNetwork,
		Network:        in.Labels[labelNetwork],
		Presumed:       presumed(in),
	}
}

// presumed tells a pod whose containers do not serve from one that is called not
// ready only because its node went silent: the node controller then writes Ready
// and leaves ContainersReady, which is the kubelet's. When an API server comes
// back after a minute, this holds for every pod of the cluster for some seconds.
// See https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-conditions.
func presumed(in *corev1.Pod) bool {
	if len(in.Spec.ReadinessGates) > 0 {
		return false
	}
	status := func(t corev1.PodConditionType) corev1.ConditionStatus {
		for i := range in.Status.Conditions {
			if in.Status.Conditions[i].Type == t {
				return in.Status.Conditions[i].Status
			}
		}
		return ""
	}
	return status(corev1.PodReady) == corev1.ConditionFalse && status(corev1.ContainersReady) == corev1.ConditionTrue
}

// Node projects a core/v1 Node.
func (s Scope) Node(in *corev1.Node) *ir.Node {
	return &ir.Node{
		Key: ir.NodeKey{Cluster: s.Cluster, Name: in.Name},
		Locality: ir.Locality{
			Region:  cmp.Or(in.Labels[corev1.LabelTopologyRegion], in.Labels[corev1.LabelFailureDomainBetaRegion]),
			Zone:    cmp.Or(in.Labels[corev1.LabelTopologyZone], in.Labels[corev1.LabelFailureDomainBetaZone]),
			SubZone: in.Labels[labelSubZone],
		},
	}
}

// Namespace projects a core/v1 Namespace.
func (s Scope) Namespace(in *corev1.Namespace) *ir.Namespace {
	// Another word counts as none: a namespace has no status that could tell of it.
	scope, _ := ir.ParseDiscoveryScope(in.Annotations[ir.AnnotationDiscoveryScope])
	return &ir.Namespace{Name: in.Name, Network: in.Labels[labelNetwork], DiscoveryScope: scope}
}
