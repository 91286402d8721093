// SPDX-License-Identifier: Apache-2.0

package xds

// order is the order in which a stream is told of additions: what refers
// comes after what it refers to.
// https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#eventual-consistency-considerations
var order = []string{
	ClusterType,
	EndpointType,
	ListenerType,
	RouteType,
	VirtualHostType,
	SecretType,
	ExtensionConfigType,
}

// rankOf is the place of a type in order; all others come last.
func rankOf(typ string) int {
	for i, t := range order {
		if t == typ {
			return i
		}
	}
	return len(order)
}

// isRouting tells the types whose resources name clusters, and which
// therefore wait for the clusters that were published with them.
func isRouting(typ string) bool {
	return typ == ListenerType || typ == RouteType || typ == VirtualHostType
}

// legacyWildcard tells the types of which a first request without names asks
// for all resources. For other types, which Envoy always asks for by name,
// such a request comes after a reconnect and asks for nothing.
func legacyWildcard(typ string) bool {
	return typ == ClusterType || typ == ListenerType || typ == VirtualHostType
}
