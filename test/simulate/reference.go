// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"cmp"
	"fmt"
	"slices"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	setstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/set_filter_state/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	quicv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/quic/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
)

// Dangling is what a listener or a cluster would wait for in vain: endpoints, route
// configurations, secrets, clusters of TCP filters. Routes are left out, and chains
// that some object asked for: Envoy answers 503 or closes for a cluster that is not
// there, and that may be what users asked for.
func (p *Proxy) Dangling() []string {
	var out []string
	for name, c := range p.clusters {
		if _, known := p.endpoints[assignment(name, c)]; c.GetType() == clusterv3.Cluster_EDS && !known {
			out = append(out, "cluster "+name+" has no endpoints")
		}
	}
	for _, l := range p.listeners {
		for _, chain := range append(slices.Clone(l.FilterChains), l.DefaultFilterChain) {
			for _, missing := range p.missing(chain, chain.GetMetadata() != nil) {
				out = append(out, "listener "+l.Name+": "+missing)
			}
		}
	}
	for name, config := range p.extensions {
		m := &setstatev3.Config{}
		if !config.MessageIs(m) {
			continue
		}
		if err := config.UnmarshalTo(m); err != nil {
			out = append(out, "extension "+name+": "+err.Error())
		}
		for _, v := range m.OnNewConnection {
			found := ifDialled.FindStringSubmatch(v.GetFormatString().GetTextFormatSource().GetInlineString())
			if v.GetObjectKey() == stateCluster && (len(found) == 0 || p.clusters[found[2]] == nil) {
				out = append(out, "extension "+name+" names no cluster of this proxy")
			}
		}
	}
	slices.Sort(out)
	return out
}

// assignment is the name of what an EDS cluster has its endpoints from.
func assignment(name string, c *clusterv3.Cluster) string {
	return cmp.Or(c.GetEdsClusterConfig().GetServiceName(), name)
}

func (p *Proxy) missing(chain *listenerv3.FilterChain, asked bool) []string {
	var out []string
	for _, f := range chain.GetFilters() {
		if f.GetConfigDiscovery() != nil {
			if p.extensions[f.Name] == nil {
				out = append(out, "no extension "+f.Name)
			}
			continue
		}
		m, err := f.GetTypedConfig().UnmarshalNew()
		if err != nil {
			out = append(out, err.Error())
		}
		switch m := m.(type) {
		case *hcmv3.HttpConnectionManager:
			if name := m.GetRds().GetRouteConfigName(); name != "" && p.routes[name] == nil {
				out = append(out, "no route configuration "+name)
			}
			for _, h := range m.HttpFilters {
				if h.GetConfigDiscovery() != nil && p.extensions[h.Name] == nil {
					out = append(out, "no extension "+h.Name)
				}
			}
		case *tcpproxyv3.TcpProxy:
			if p.clusters[m.GetCluster()] == nil && !asked {
				out = append(out, "no cluster "+m.GetCluster())
			}
		}
	}
	common, err := downstream(chain)
	if err != nil {
		out = append(out, err.Error())
	}
	secrets := slices.Clone(common.GetTlsCertificateSdsSecretConfigs())
	secrets = append(secrets, common.GetValidationContextSdsSecretConfig(),
		common.GetCombinedValidationContext().GetValidationContextSdsSecretConfig())
	for _, s := range secrets {
		if s.GetSdsConfig().GetAds() != nil && !p.secrets[s.GetName()] {
			out = append(out, "no secret "+s.GetName())
		}
	}
	return out
}

// downstream is how TLS ends at a chain, over TCP or QUIC; nil: it does not.
func downstream(chain *listenerv3.FilterChain) (*tlsv3.CommonTlsContext, error) {
	config := chain.GetTransportSocket().GetTypedConfig()
	if config == nil {
		return nil, nil
	}
	m, err := config.UnmarshalNew()
	if err != nil {
		return nil, err
	}
	switch m := m.(type) {
	case *tlsv3.DownstreamTlsContext:
		return m.GetCommonTlsContext(), nil
	case *quicv3.QuicDownstreamTransport:
		return m.GetDownstreamTlsContext().GetCommonTlsContext(), nil
	}
	return nil, fmt.Errorf("unknown transport socket %T", m)
}
