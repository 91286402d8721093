// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	proxyprotocolv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/proxy_protocol/v3"

	"github.com/meshwright/meshwright/internal/envoy/typed"
	"github.com/meshwright/meshwright/internal/ir"
)

// proxyProtocol tells the server who the client is before anything else, outside
// of TLS.
func proxyProtocol(c *clusterv3.Cluster, version ir.ProxyProtocol) {
	if version == ir.ProxyProtocolNone {
		return
	}
	for _, m := range c.TransportSocketMatches {
		m.TransportSocket = announced(version, m.TransportSocket)
	}
	if len(c.TransportSocketMatches) > 0 {
		return
	}
	if c.TransportSocket == nil {
		c.TransportSocket = plaintext()
	}
	c.TransportSocket = announced(version, c.TransportSocket)
}

func announced(version ir.ProxyProtocol, inner *corev3.TransportSocket) *corev3.TransportSocket {
	config := &corev3.ProxyProtocolConfig{Version: corev3.ProxyProtocolConfig_V1}
	if version == ir.ProxyProtocolV2 {
		config.Version = corev3.ProxyProtocolConfig_V2
	}
	return &corev3.TransportSocket{
		Name: "envoy.transport_sockets.upstream_proxy_protocol",
		ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: typed.Config(
			&proxyprotocolv3.ProxyProtocolUpstreamTransport{Config: config, TransportSocket: inner},
		)},
	}
}
