// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"cmp"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/meshwright/meshwright/internal/ir"
)

// Labels that the mesh reads.
const (
	labelTLSMode = "security.istio.io/tlsMode" // "istio": the pod's proxy terminates mutual TLS
	labelNetwork = "topology.istio.io/network"
	labelSubZone = "topology.istio.io/subzone"
)

const tlsModeIstio = "istio"

// Pod projects a core/v1 Pod. It is nil for a pod without an address and for one
// that has ended, whose address may belong to another pod already.
func (s Scope) Pod(in *corev1.Pod) *ir.Pod {
	if in.Status.PodIP == "" || in.Status.Phase == corev1.PodSucceeded || in.Status.Phase == corev1.PodFailed {
		return nil
	}
	addr, also := podAddresses(in)
	return &ir.Pod{
		Key:            s.key(&in.ObjectMeta),
		Labels:         ir.NewLabels(in.Labels),
		ServiceAccount: cmp.Or(in.Spec.ServiceAccountName, "default"),
		Node:           in.Spec.NodeName,
		Meshed:         in.Labels[labelTLSMode] == tlsModeIstio && !in.Spec.HostNetwork,
		Network:        in.Labels[labelNetwork],
		Readiness:      readiness(in),
		Addr:           addr,
		Also:           also,
	}
}

// readiness tells a pod whose containers do not serve from one that is called not
// ready only because its node went silent: the node controller then writes Ready
// and leaves ContainersReady, which is the kubelet's. When an API server comes
// back after a minute, this holds for every pod of the cluster for some seconds.
// See https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-conditions.
func readiness(in *corev1.Pod) ir.Readiness {
	holds := func(t corev1.PodConditionType) bool {
		return slices.ContainsFunc(in.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == t && c.Status == corev1.ConditionTrue
		})
	}
	switch {
	case holds(corev1.PodReady):
		return ir.Ready
	case holds(corev1.ContainersReady) && len(in.Spec.ReadinessGates) == 0:
		return ir.Presumed
	}
	return ir.Unready
}

// podAddresses is where selectors send requests to: the pod's address, and the one that
// it has of the other family.
func podAddresses(in *corev1.Pod) (addr, also netip.Addr) {
	addr, err := netip.ParseAddr(in.Status.PodIP)
	if err != nil || in.DeletionTimestamp != nil {
		return netip.Addr{}, netip.Addr{}
	}
	addr = addr.Unmap()
	for _, ip := range in.Status.PodIPs {
		if other, err := netip.ParseAddr(ip.IP); err == nil && other.Unmap().Is4() != addr.Is4() {
			return addr, other.Unmap()
		}
	}
	return addr, netip.Addr{}
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
