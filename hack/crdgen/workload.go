// SPDX-License-Identifier: Apache-2.0

package main

import (
	networkingv1alpha3 "istio.io/api/networking/v1alpha3"
	networkingv1beta1 "istio.io/api/networking/v1beta1"
)

// workloadKinds says what runs beyond the platform, and how its proxies behave.
func workloadKinds() []kind {
	const address = "has(self.address) || has(self.network)"
	return []kind{
		{
			group: networking, name: "ProxyConfig", plural: "proxyconfigs",
			about: "Settings of the proxies of a mesh, a namespace or a workload.",
			spec:  &networkingv1beta1.ProxyConfig{}, status: istioStatus, versions: []string{"v1beta1"},
			limits: atLeast(0, "concurrency"),
		}, {
			group: networking, name: "ServiceEntry", plural: "serviceentries", short: []string{"se"}, filled: true,
			about: "A host that the platform does not know by itself.",
			spec:  &networkingv1alpha3.ServiceEntry{}, status: &networkingv1alpha3.ServiceEntryStatus{}, versions: graduated,
			columns: []column{
				{"Hosts", ".spec.hosts", "The hosts of the entry"},
				{"Location", ".spec.location", "Whether the hosts are part of the mesh"},
				{"Resolution", ".spec.resolution", "How addresses are found"},
			},
			rules: []rule{
				{"", "!has(self.workloadSelector) || !has(self.endpoints)", "only one of workloadSelector and endpoints may be set", "endpoints"},
				{"endpoints[]", address, "an endpoint needs an address or a network", "address"},
			},
			limits: atLeast(1, "hosts", "ports[].name"),
			unique: []unique{{"ports", "name"}},
		}, {
			group: networking, name: "Sidecar", plural: "sidecars",
			about: "What the sidecars of a namespace or a workload accept and reach.",
			spec:  &networkingv1alpha3.Sidecar{}, status: istioStatus, versions: graduated,
		}, {
			group: networking, name: "WorkloadEntry", plural: "workloadentries", short: []string{"we"}, filled: true,
			about: "One workload that is not a pod.",
			spec:  &networkingv1alpha3.WorkloadEntry{}, status: istioStatus, versions: graduated,
			columns: []column{{"Address", ".spec.address", "The workload's address"}},
			rules:   []rule{{"", address, "a workload needs an address or a network", "address"}},
		}, {
			group: networking, name: "WorkloadGroup", plural: "workloadgroups", short: []string{"wg"}, filled: true,
			about: "What the workload entries of a group have in common.",
			spec:  &networkingv1alpha3.WorkloadGroup{}, status: istioStatus, versions: graduated,
		},
	}
}
