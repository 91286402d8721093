// SPDX-License-Identifier: Apache-2.0

package main

import (
	"google.golang.org/protobuf/proto"
	extensionsv1alpha1 "istio.io/api/extensions/v1alpha1"
	metav1alpha1 "istio.io/api/meta/v1alpha1"
	networkingv1alpha3 "istio.io/api/networking/v1alpha3"
	networkingv1beta1 "istio.io/api/networking/v1beta1"
	securityv1beta1 "istio.io/api/security/v1beta1"
	telemetryv1alpha1 "istio.io/api/telemetry/v1alpha1"
)

// kind is one custom resource: what its protobuf message cannot say.
type kind struct {
	group    string
	name     string
	plural   string
	short    []string
	about    string
	spec     proto.Message
	status   proto.Message
	versions []string // the first is stored, the rest are served too
	columns  []column
	rules    []rule // on the spec
}

// column is a line of kubectl's table.
type column struct{ name, path, about string }

// rule is a check that needs no webhook. Its path is below the spec; "" is the spec.
type rule struct{ path, cel, message string }

const (
	networking = "networking.istio.io"
	security   = "security.istio.io"
	telemetry  = "telemetry.istio.io"
	extensions = "extensions.istio.io"
)

var (
	graduated   = []string{"v1", "v1beta1", "v1alpha3"}
	secured     = []string{"v1", "v1beta1"}
	istioStatus = &metav1alpha1.IstioStatus{}
	exclusive   = rule{"", "(has(self.selector) ? 1 : 0) + (has(self.targetRefs) && size(self.targetRefs) > 0 ? 1 : 0) <= 1", "only one of selector and targetRefs may be set"}
	portNumber  = "self >= 1 && self <= 65535"
)

// kinds is everything that is generated, in the order of the files' names.
func kinds() []kind {
	return []kind{
		{
			group: extensions, name: "TrafficExtension", plural: "trafficextensions",
			about: "An extension of the proxies written in Wasm or Lua.",
			spec:  &extensionsv1alpha1.TrafficExtension{}, status: istioStatus, versions: []string{"v1alpha1"},
		}, {
			group: extensions, name: "WasmPlugin", plural: "wasmplugins",
			about: "A WebAssembly module that the proxies run.",
			spec:  &extensionsv1alpha1.WasmPlugin{}, status: istioStatus, versions: []string{"v1alpha1"},
			rules: []rule{exclusive},
		}, {
			group: networking, name: "DestinationRule", plural: "destinationrules", short: []string{"dr"},
			about: "How clients reach a host: subsets, load balancing, connections, TLS.",
			spec:  &networkingv1alpha3.DestinationRule{}, status: istioStatus, versions: graduated,
			columns: []column{{"Host", ".spec.host", "The host that the rule is for"}},
			rules: []rule{
				{"host", "size(self) > 0", "host must not be empty"},
				{"subsets[].name", "size(self) > 0", "a subset needs a name"},
			},
		}, {
			group: networking, name: "EnvoyFilter", plural: "envoyfilters",
			about: "A change to the proxies' configuration that no other kind can express.",
			spec:  &networkingv1alpha3.EnvoyFilter{}, status: istioStatus, versions: []string{"v1alpha3"},
		}, {
			group: networking, name: "Gateway", plural: "gateways", short: []string{"gw"},
			about: "Ports and hosts at which traffic enters or leaves the mesh.",
			spec:  &networkingv1alpha3.Gateway{}, status: istioStatus, versions: graduated,
			rules: []rule{
				{"servers[].port.number", portNumber, "port number must be from 1 to 65535"},
				{"servers[].hosts", "size(self) > 0", "a server needs at least one host"},
			},
		}, {
			group: networking, name: "ProxyConfig", plural: "proxyconfigs",
			about: "Settings of the proxies of a mesh, a namespace or a workload.",
			spec:  &networkingv1beta1.ProxyConfig{}, status: istioStatus, versions: []string{"v1beta1"},
		}, {
			group: networking, name: "ServiceEntry", plural: "serviceentries", short: []string{"se"},
			about: "A host that the platform does not know by itself.",
			spec:  &networkingv1alpha3.ServiceEntry{}, status: &networkingv1alpha3.ServiceEntryStatus{}, versions: graduated,
			columns: []column{
				{"Hosts", ".spec.hosts", "The hosts of the entry"},
				{"Location", ".spec.location", "Whether the hosts are part of the mesh"},
				{"Resolution", ".spec.resolution", "How addresses are found"},
			},
			rules: []rule{{"hosts", "size(self) > 0", "hosts must not be empty"}},
		}, {
			group: networking, name: "Sidecar", plural: "sidecars",
			about: "What the sidecars of a namespace or a workload accept and reach.",
			spec:  &networkingv1alpha3.Sidecar{}, status: istioStatus, versions: graduated,
		}, {
			group: networking, name: "VirtualService", plural: "virtualservices", short: []string{"vs"},
			about: "Where requests for some hosts go.",
			spec:  &networkingv1alpha3.VirtualService{}, status: istioStatus, versions: graduated,
			columns: []column{
				{"Gateways", ".spec.gateways", "The gateways and sidecars that take the routes"},
				{"Hosts", ".spec.hosts", "The hosts that are routed"},
			},
			rules: []rule{
				{"http[].route[].weight", "self >= 0", "weight must not be negative"},
				{"http[].route[].destination.host", "size(self) > 0", "a destination needs a host"},
				{"http[].retries.attempts", "self >= 0", "attempts must not be negative"},
				{"http[].timeout", "duration(self) >= duration('0s')", "timeout must not be negative"},
			},
		}, {
			group: networking, name: "WorkloadEntry", plural: "workloadentries", short: []string{"we"},
			about: "One workload that is not a pod.",
			spec:  &networkingv1alpha3.WorkloadEntry{}, status: istioStatus, versions: graduated,
			columns: []column{{"Address", ".spec.address", "The workload's address"}},
		}, {
			group: networking, name: "WorkloadGroup", plural: "workloadgroups", short: []string{"wg"},
			about: "What the workload entries of a group have in common.",
			spec:  &networkingv1alpha3.WorkloadGroup{}, status: istioStatus, versions: graduated,
		}, {
			group: security, name: "AuthorizationPolicy", plural: "authorizationpolicies", short: []string{"ap"},
			about: "Who may call a workload.",
			spec:  &securityv1beta1.AuthorizationPolicy{}, status: istioStatus, versions: secured,
			columns: []column{{"Action", ".spec.action", "What becomes of a request that matches"}},
			rules:   []rule{exclusive},
		}, {
			group: security, name: "PeerAuthentication", plural: "peerauthentications", short: []string{"pa"},
			about: "Which connections a workload accepts.",
			spec:  &securityv1beta1.PeerAuthentication{}, status: istioStatus, versions: secured,
			columns: []column{{"Mode", ".spec.mtls.mode", "The mode of mutual TLS"}},
			rules: []rule{{
				"", "!has(self.portLevelMtls) || (has(self.selector) && has(self.selector.matchLabels) && size(self.selector.matchLabels) > 0)",
				"portLevelMtls needs a selector",
			}},
		}, {
			group: security, name: "RequestAuthentication", plural: "requestauthentications", short: []string{"ra"},
			about: "Which tokens of end users are valid.",
			spec:  &securityv1beta1.RequestAuthentication{}, status: istioStatus, versions: secured,
			rules: []rule{exclusive},
		}, {
			group: telemetry, name: "Telemetry", plural: "telemetries", short: []string{"telemetry"},
			about: "Which metrics, logs and traces the proxies give.",
			spec:  &telemetryv1alpha1.Telemetry{}, status: istioStatus, versions: []string{"v1alpha1", "v1"},
			rules: []rule{exclusive},
		},
	}
}
