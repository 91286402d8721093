// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"
	"k8s.io/utils/ptr"
)

// What of a port of a gateway or a sidecar is checked: a port that ends TLS has
// to say how.
const endsTLS = "!has(self.port) || !has(self.port.protocol) || !(self.port.protocol in ['HTTPS', 'TLS', 'https', 'tls']) || has(self.tls)"

// trafficKinds says where requests go, and how.
func trafficKinds() []kind {
	return []kind{
		destinationRule(),
		{
			group: networking, name: "EnvoyFilter", plural: "envoyfilters",
			about: "A change to the proxies' configuration that no other kind can express.",
			spec:  &networkingv1alpha3.EnvoyFilter{}, status: istioStatus, versions: []string{"v1alpha3"},
			rules: []rule{{
				cel:     "!has(self.workloadSelector) || !has(self.targetRefs)",
				message: "only one of workloadSelector and targetRefs may be set", field: "targetRefs",
			}},
		},
		{
			group: networking, name: "Gateway", plural: "gateways", short: []string{"gw"}, filled: true,
			about: "Ports and hosts at which traffic enters or leaves the mesh.",
			spec:  &networkingv1alpha3.Gateway{}, status: istioStatus, versions: graduated,
			rules: []rule{
				{"", "has(self.servers) && size(self.servers) > 0", "a gateway needs at least one server", "servers"},
				{"servers[]", endsTLS, "a server of protocol HTTPS or TLS needs tls", "tls"},
			},
			limits: atLeast(1, "servers[].hosts", "servers[].port.protocol", "servers[].port.name"),
		},
		virtualService(),
	}
}

func destinationRule() kind {
	return kind{
		group: networking, name: "DestinationRule", plural: "destinationrules", short: []string{"dr"}, filled: true,
		about: "How clients reach a host: subsets, load balancing, connections, TLS.",
		spec:  &networkingv1alpha3.DestinationRule{}, status: istioStatus, versions: graduated,
		columns: []column{{"Host", ".spec.host", "The host that the rule is for"}},
		limits: append(
			atLeast(1, "host", "subsets[].name"),
			// What bounds the cost of checking every duration below them.
			limits{path: "subsets", max: ptr.To(int64(1024))},
			limits{path: "trafficPolicy.portLevelSettings", max: ptr.To(int64(256))},
			limits{path: "subsets[].trafficPolicy.portLevelSettings", max: ptr.To(int64(256))},
		),
		unique: []unique{{"subsets", "name"}},
	}
}

func virtualService() kind {
	// Only a delegate has no hosts: its root has them, and the gateways.
	const delegate = "has(self.http) && size(self.http) > 0 && !has(self.gateways) && !has(self.tcp) && !has(self.tls)"
	actions := alone([]string{"redirect", "directResponse", "delegate", "route"}, "has(self.route)")
	return kind{
		group: networking, name: "VirtualService", plural: "virtualservices", short: []string{"vs"}, filled: true,
		about: "Where requests for some hosts go.",
		spec:  &networkingv1alpha3.VirtualService{}, status: istioStatus, versions: graduated,
		columns: []column{
			{"Gateways", ".spec.gateways", "The gateways and sidecars that take the routes"},
			{"Hosts", ".spec.hosts", "The hosts that are routed"},
		},
		rules: []rule{
			{"", "(has(self.hosts) && size(self.hosts) > 0) || (" + delegate + ")", "hosts must not be empty", "hosts"},
			{"http[]", actions, "a rule needs exactly one of route, redirect, directResponse and delegate", ""},
		},
		limits: slices.Concat(
			atLeast(0, "http[].route[].weight", "tls[].route[].weight", "tcp[].route[].weight", "http[].retries.attempts"),
			atLeast(1, "http[].route[].destination.host", "tls[].route[].destination.host", "tcp[].route[].destination.host"),
		),
		aliases: []alias{{"http[]", "mirrorPercent", "mirror_percent"}},
	}
}
