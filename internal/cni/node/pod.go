// SPDX-License-Identifier: Apache-2.0

//go:build linux

package node

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshwright/meshwright/internal/agent/redirect"
)

// redirection is what a pod asks for in the arguments of the container that
// verifies it; nil when it asks for nothing.
func redirection(pod *corev1.Pod) (*redirect.Flags, error) {
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		if c.Name != redirect.VerifyContainer || !slices.Contains(c.Args, redirect.Verify) {
			continue
		}
		flags, err := redirect.FromArguments(c.Args)
		if err != nil {
			return nil, fmt.Errorf("spec.initContainers[%d].args: %w", i, err)
		}
		return flags, nil
	}
	return nil, nil
}

// nameServers are those of a pod, as far as its spec and the node's agent, which
// has the cluster's, know them. Those of the node, which a pod with the policy
// Default has, are known to nobody here.
func nameServers(pod *corev1.Pod, clusters []netip.Addr) []netip.Addr {
	var out []netip.Addr
	if policy := pod.Spec.DNSPolicy; policy == corev1.DNSClusterFirst || policy == corev1.DNSClusterFirstWithHostNet || policy == "" {
		out = append(out, clusters...)
	}
	if pod.Spec.DNSConfig != nil {
		for _, text := range pod.Spec.DNSConfig.Nameservers {
			if addr, err := netip.ParseAddr(text); err == nil {
				out = append(out, addr)
			}
		}
	}
	return out
}

// broken tells whether a pod found that nobody redirects its traffic.
func broken(pod *corev1.Pod) bool {
	if pod.DeletionTimestamp != nil {
		return false
	}
	failed := func(state *corev1.ContainerStateTerminated) bool {
		return state != nil && state.ExitCode == redirect.ExitUnmarked
	}
	return slices.ContainsFunc(pod.Status.InitContainerStatuses, func(c corev1.ContainerStatus) bool {
		return c.Name == redirect.VerifyContainer && (failed(c.State.Terminated) || failed(c.LastTerminationState.Terminated) && c.State.Running == nil)
	})
}

// replaced tells whether somebody makes a pod again that is deleted.
func replaced(pod *corev1.Pod) bool { return metav1.GetControllerOf(pod) != nil }
