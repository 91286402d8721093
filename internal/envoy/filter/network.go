// SPDX-License-Identifier: Apache-2.0

// Package filter builds Envoy's network, HTTP and listener filters.
package filter

import (
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	httpinspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/http_inspector/v3"
	originaldstv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_dst/v3"
	proxyprotocolv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/proxy_protocol/v3"
	tlsinspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/meshwright/meshwright/internal/envoy/typed"
	"github.com/meshwright/meshwright/internal/ir"
)

// TCP carries bytes to a cluster.
func TCP(cluster, accessLogFile string) *listenerv3.Filter {
	return network(tcpProxyName, tcpProxy(cluster, accessLogFile))
}

const tcpProxyName = "envoy.filters.network.tcp_proxy"

func tcpProxy(cluster, accessLogFile string) *tcpproxyv3.TcpProxy {
	return &tcpproxyv3.TcpProxy{
		StatPrefix:       cluster,
		ClusterSpecifier: &tcpproxyv3.TcpProxy_Cluster{Cluster: cluster},
		AccessLog:        AccessLog(accessLogFile, tcpFormat),
	}
}

// Local carries bytes to the application's port, in the way that a Sidecar asks for.
func Local(cluster, accessLogFile string, how ir.Stream) *listenerv3.Filter {
	out := tcpProxy(cluster, accessLogFile)
	limit(out, how)
	return network(tcpProxyName, out)
}

// TCPOnDemand is TCP for a sidecar, which asks for the cluster when it is not there.
func TCPOnDemand(cluster, accessLogFile string) *listenerv3.Filter {
	out := tcpProxy(cluster, accessLogFile)
	out.OnDemand = onDemandCluster()
	return network(tcpProxyName, out)
}

// Stream carries bytes to clusters, in the way that a policy asks for. A sidecar asks
// for a cluster that is not there. Without clusters it closes connections. The share
// of a cluster that does not exist is closed as well, and never goes to the others.
func Stream(targets []ir.Target, accessLogFile string, how ir.Stream) []*listenerv3.Filter {
	if len(targets) == 0 {
		return []*listenerv3.Filter{TCP(ir.ClusterBlackHole, accessLogFile)}
	}
	out := shares(targets, accessLogFile, how)
	out.OnDemand = onDemandCluster()
	return resolved(targets, network(tcpProxyName, out))
}

// GatewayStream is Stream for a gateway, which has the clusters that it routes to.
func GatewayStream(targets []ir.Target, accessLogFile string, how ir.Stream) []*listenerv3.Filter {
	if len(targets) == 0 {
		return []*listenerv3.Filter{TCP(ir.ClusterBlackHole, accessLogFile)}
	}
	return resolved(targets, network(tcpProxyName, shares(targets, accessLogFile, how)))
}

func shares(targets []ir.Target, accessLogFile string, how ir.Stream) *tcpproxyv3.TcpProxy {
	out := tcpProxy(targets[0].Cluster.Name(), accessLogFile)
	if len(targets) > 1 {
		split := &tcpproxyv3.TcpProxy_WeightedCluster{}
		for i := range targets {
			split.Clusters = append(split.Clusters, &tcpproxyv3.TcpProxy_WeightedCluster_ClusterWeight{
				Name: targets[i].Cluster.Name(), Weight: targets[i].Weight,
			})
		}
		out.ClusterSpecifier = &tcpproxyv3.TcpProxy_WeightedClusters{WeightedClusters: split}
	}
	limit(out, how)
	if how.Tunnel.Target != "" {
		out.TunnelingConfig = &tcpproxyv3.TcpProxy_TunnelingConfig{Hostname: how.Tunnel.Target, UsePost: how.Tunnel.Post}
	}
	return out
}

// limit bounds how long connections last.
func limit(out *tcpproxyv3.TcpProxy, how ir.Stream) {
	if how.IdleTimeout != 0 {
		out.IdleTimeout = durationpb.New(max(how.IdleTimeout, 0)) // Envoy's 0 is ir.Never
	}
	if how.MaxDuration > 0 {
		out.MaxDownstreamConnectionDuration = durationpb.New(how.MaxDuration)
	}
}

// OriginalDst restores the address that a redirected connection was made to.
func OriginalDst() *listenerv3.ListenerFilter {
	return listener("envoy.filters.listener.original_dst", &originaldstv3.OriginalDst{})
}

// ProxyProtocol reads the client's address from a header of the PROXY protocol, of
// either version. A connection without one is closed: it did not come from the load
// balancer, and could name any address.
func ProxyProtocol() *listenerv3.ListenerFilter {
	return listener("envoy.filters.listener.proxy_protocol", &proxyprotocolv3.ProxyProtocol{})
}

// TLSInspector tells TLS from plaintext and reads its server name and protocols.
func TLSInspector() *listenerv3.ListenerFilter {
	return listener("envoy.filters.listener.tls_inspector", &tlsinspectorv3.TlsInspector{})
}

// HTTPInspector tells HTTP from other protocols by the first bytes of the client.
func HTTPInspector() *listenerv3.ListenerFilter {
	return listener("envoy.filters.listener.http_inspector", &httpinspectorv3.HttpInspector{})
}

// HTTPProtocols is what HTTPInspector calls HTTP.
func HTTPProtocols() []string { return []string{"http/1.0", "http/1.1", "h2c"} }

func network(name string, m proto.Message) *listenerv3.Filter {
	return &listenerv3.Filter{
		Name:       name,
		ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: typed.Config(m)},
	}
}

func listener(name string, m proto.Message) *listenerv3.ListenerFilter {
	return &listenerv3.ListenerFilter{
		Name:       name,
		ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: typed.Config(m)},
	}
}
