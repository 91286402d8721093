// SPDX-License-Identifier: Apache-2.0

package ir

import (
	"cmp"
	"net/netip"
	"strconv"
	"strings"
)

// Names of resources that exist once per proxy.
const (
	ClusterBlackHole          = "BlackHoleCluster"
	ClusterPassthrough        = "PassthroughCluster"
	ClusterDynamic            = "DynamicForwardProxyCluster" // resolves the name that a request is for
	ClusterInboundPassthrough = "InboundPassthroughCluster"
	ClusterOwn                = "local_cluster"  // the pods that the proxy's own stands among
	ClusterUnknown            = "UnknownCluster" // what is served for addresses that nobody has; no proxy holds it
	ListenerOutbound          = "virtualOutbound"
	ListenerInbound           = "virtualInbound"
)

// Hosts that route configurations have besides those of services: each has HostNone, those of outbound ports HostRest.
const (
	HostRest = "*"            // gets requests to hosts that nobody knows
	HostNone = "none.invalid" // gets none: a route configuration must not be empty
)

// ClusterKey names an outbound cluster: one host, port and subset.
type ClusterKey struct {
	Host   string
	Port   uint16
	Subset string
}

// Name is outbound|PORT|SUBSET|HOST, the grammar that mesh tools know.
func (k ClusterKey) Name() string {
	return "outbound|" + strconv.Itoa(int(k.Port)) + "|" + k.Subset + "|" + k.Host
}

// SNI is the server name that a client proxy sends to the server's proxy. It has
// the grammar of the cluster's name with characters that are legal in a host name.
func (k ClusterKey) SNI() string {
	return "outbound_." + strconv.Itoa(int(k.Port)) + "_." + k.Subset + "_." + strings.TrimPrefix(k.Host, "*.")
}

// Pods is the cluster of a headless host's pods, each called by its own address.
// Their names in DNS are labels in front of the host's.
func (k ClusterKey) Pods() ClusterKey { return ClusterKey{Host: PodsOf(k.Host), Port: k.Port} }

// PodsOf is the pattern that covers the names of a headless host's pods.
func PodsOf(host string) string { return "*." + host }

// AutoName is the name of the cluster that connections with the server name of a key
// are carried to as they are. No other cluster's name begins like it, so that clients,
// who choose the rest of it, get to no other.
func (k ClusterKey) AutoName() string { return AutoPrefix + strings.ToLower(k.SNI()) }

// AutoPrefix is before the server name in the name of a cluster that clients choose.
const AutoPrefix = "auto|"

// Compare orders by host, port, subset.
func (k ClusterKey) Compare(o ClusterKey) int {
	return cmp.Or(strings.Compare(k.Host, o.Host), cmp.Compare(k.Port, o.Port), strings.Compare(k.Subset, o.Subset))
}

// ParseClusterName reads what ClusterKey.Name wrote.
func ParseClusterName(s string) (k ClusterKey, ok bool) {
	parts := strings.Split(s, "|")
	if len(parts) != 4 || parts[0] != "outbound" || parts[3] == "" {
		return ClusterKey{}, false
	}
	port, err := strconv.ParseUint(parts[1], 10, 16)
	if err != nil || strconv.FormatUint(port, 10) != parts[1] {
		return ClusterKey{}, false
	}
	return ClusterKey{Host: parts[3], Port: uint16(port), Subset: parts[2]}, true
}

// InboundClusterName is inbound|PORT||.
func InboundClusterName(port uint16) string { return "inbound|" + strconv.Itoa(int(port)) + "||" }

// InboundListenerName is inbound|ADDRESS|PORT, of a port at which a sidecar listens itself.
func InboundListenerName(addr netip.Addr, port uint16) string {
	return "inbound|" + addr.String() + "|" + strconv.Itoa(int(port))
}

// OutboundRouteName is the route configuration of all HTTP hosts on one port.
func OutboundRouteName(port uint16) string { return strconv.Itoa(int(port)) }

// HostRouteName is the route configuration of one port of a host that has an address
// of its own and no protocol.
func HostRouteName(host string, port uint16) string { return host + ":" + strconv.Itoa(int(port)) }

// PodsName is the table of the addresses of headless hosts' pods on one port.
func PodsName(port uint16) string { return "pods|" + strconv.Itoa(int(port)) }

// AddressesName is the filter that asks whose an address is.
const AddressesName = "addresses"

// OutboundListenerName is the listener of all addresses on one port.
func OutboundListenerName(port uint16) string { return "0.0.0.0_" + strconv.Itoa(int(port)) }

// VirtualHostKey names one virtual host of one route configuration.
type VirtualHostKey struct {
	RouteConfig string
	Host        string
}

// Name is ROUTECONFIG/HOST, which Envoy's VHDS expects.
// See https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/vhds.
func (k VirtualHostKey) Name() string { return k.RouteConfig + "/" + k.Host }

// Compare orders by route configuration, then host.
func (k VirtualHostKey) Compare(o VirtualHostKey) int {
	return cmp.Or(strings.Compare(k.RouteConfig, o.RouteConfig), strings.Compare(k.Host, o.Host))
}

// ParseVirtualHostName reads what VirtualHostKey.Name wrote.
func ParseVirtualHostName(s string) (VirtualHostKey, bool) {
	rc, host, ok := strings.Cut(s, "/")
	if !ok || rc == "" || host == "" {
		return VirtualHostKey{}, false
	}
	return VirtualHostKey{RouteConfig: rc, Host: host}, true
}
