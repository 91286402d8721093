// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"net"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	dnsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/common/dns/v3"
	dnsclusterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/dns/v3"
	caresv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/network/dns_resolver/cares/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	connectTimeout = 5 * time.Second
	// ownTimeout is for how long Envoy does not ask for more before it knows of its siblings, should nobody answer.
	ownTimeout = time.Second
	// keepaliveInterval and keepaliveTimeout find a control plane that vanished without closing the connection.
	keepaliveInterval = 30 * time.Second
	keepaliveTimeout  = 10 * time.Second
	// unlimited is for circuit breakers of clusters that carry configuration, which must never be turned away.
	unlimited = 100_000
	// dnsRefresh is how soon a control plane that moved is found; resolved addresses' own time to live is respected.
	dnsRefresh = 30 * time.Second
	// dnsRetry and dnsLastRetry bound the pauses after a failed look-up: a pod may start before its DNS answers.
	dnsRetry     = 500 * time.Millisecond
	dnsLastRetry = 10 * time.Second
)

// The names under which Envoy finds the extensions; they are free text, the type URL decides.
const (
	httpOptions        = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
	dnsCluster         = "envoy.cluster.dns"
	tlsSocket          = "envoy.transport_sockets.tls"
	connectionsMonitor = "envoy.resource_monitors.global_downstream_max_connections"
)

// reachable resolves names to addresses of the families of which the pod has an address outside of lo.
func reachable() *corev3.TypedExtensionConfig {
	return &corev3.TypedExtensionConfig{
		Name:        "envoy.network.dns_resolver.cares",
		TypedConfig: mustAny(&caresv3.CaresDnsResolverConfig{FilterUnroutableFamilies: true}),
	}
}

// discoveryCluster reaches the control plane by HTTP/2 over mutual TLS with the workload's own certificate.
func discoveryCluster(host string, port uint32, preferIPv6 bool) *clusterv3.Cluster {
	keepalive := &corev3.KeepaliveSettings{
		Interval: durationpb.New(keepaliveInterval),
		Timeout:  durationpb.New(keepaliveTimeout),
	}
	lookup := dnsv3.DnsLookupFamily_V4_PREFERRED
	if preferIPv6 {
		lookup = dnsv3.DnsLookupFamily_AUTO
	}
	return &clusterv3.Cluster{
		Name: DiscoveryCluster,
		// All addresses of the name, each an endpoint: what the older type STRICT_DNS means.
		ClusterDiscoveryType: &clusterv3.Cluster_ClusterType{ClusterType: &clusterv3.Cluster_CustomClusterType{
			Name: dnsCluster,
			TypedConfig: mustAny(&dnsclusterv3.DnsCluster{
				DnsLookupFamily: lookup,
				DnsRefreshRate:  durationpb.New(dnsRefresh),
				DnsFailureRefreshRate: &dnsclusterv3.DnsCluster_RefreshRate{
					BaseInterval: durationpb.New(dnsRetry), MaxInterval: durationpb.New(dnsLastRetry),
				},
				RespectDnsTtl: true,
			}),
		}},
		ConnectTimeout:                durationpb.New(connectTimeout),
		LoadAssignment:                assignment(DiscoveryCluster, socketAddress(host, port)),
		CircuitBreakers:               noLimits(),
		TypedExtensionProtocolOptions: map[string]*anypb.Any{httpOptions: http2(keepalive)},
		TransportSocket: &corev3.TransportSocket{
			Name:       tlsSocket,
			ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: mustAny(discoveryTLS(host))},
		},
		UpstreamConnectionOptions: &clusterv3.UpstreamConnectionOptions{
			TcpKeepalive: &corev3.TcpKeepalive{KeepaliveTime: wrapperspb.UInt32(300)},
		},
	}
}

// discoveryTLS takes both secrets from the agent and accepts only a certificate for the name that was dialled, signed by
// the mesh's root: another workload's certificate carries a SPIFFE id and no DNS name.
func discoveryTLS(host string) *tlsv3.UpstreamTlsContext {
	kind := tlsv3.SubjectAltNameMatcher_DNS
	sni := host
	if net.ParseIP(host) != nil {
		kind = tlsv3.SubjectAltNameMatcher_IP_ADDRESS
		sni = ""
	}
	return &tlsv3.UpstreamTlsContext{
		Sni: sni,
		CommonTlsContext: &tlsv3.CommonTlsContext{
			TlsParams:     &tlsv3.TlsParameters{TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_2},
			AlpnProtocols: []string{"h2"},
			TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{
				{Name: WorkloadSecret, SdsConfig: secretSource()},
			},
			ValidationContextType: &tlsv3.CommonTlsContext_CombinedValidationContext{
				CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
					DefaultValidationContext: &tlsv3.CertificateValidationContext{
						MatchTypedSubjectAltNames: []*tlsv3.SubjectAltNameMatcher{{
							SanType: kind,
							Matcher: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: host}},
						}},
					},
					ValidationContextSdsSecretConfig: &tlsv3.SdsSecretConfig{Name: RootSecret, SdsConfig: secretSource()},
				},
			},
		},
	}
}

// secretSource is the agent's SDS server. It answers only once it holds a certificate, however long that takes.
func secretSource() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ConfigSourceSpecifier: &corev3.ConfigSource_ApiConfigSource{ApiConfigSource: &corev3.ApiConfigSource{
			ApiType:                   corev3.ApiConfigSource_GRPC,
			TransportApiVersion:       corev3.ApiVersion_V3,
			SetNodeOnFirstMessageOnly: true,
			GrpcServices:              []*corev3.GrpcService{envoyGRPC(SecretCluster)},
		}},
		ResourceApiVersion:  corev3.ApiVersion_V3,
		InitialFetchTimeout: durationpb.New(0),
	}
}

func secretCluster(socket string) *clusterv3.Cluster {
	return &clusterv3.Cluster{
		Name:                 SecretCluster,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		ConnectTimeout:       durationpb.New(connectTimeout),
		LoadAssignment: assignment(SecretCluster, &corev3.Address{
			Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: socket}},
		}),
		CircuitBreakers:               noLimits(),
		TypedExtensionProtocolOptions: map[string]*anypb.Any{httpOptions: http2(nil)},
	}
}

// ownCluster is the pods around the proxy's own, which call the same servers: how they are spread over places decides how
// much of what this one sends may stay in its own. No request is sent to them. The proxy starts without them when nothing
// is said of them, as is the case unless it balances by zones. See
// https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/zone_aware.
func ownCluster() *clusterv3.Cluster {
	return &clusterv3.Cluster{
		Name:                 OwnCluster,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		ConnectTimeout:       durationpb.New(connectTimeout),
		EdsClusterConfig: &clusterv3.Cluster_EdsClusterConfig{EdsConfig: &corev3.ConfigSource{
			ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
			ResourceApiVersion:    corev3.ApiVersion_V3,
			InitialFetchTimeout:   durationpb.New(ownTimeout),
		}},
	}
}

// http2 makes a cluster speak HTTP/2 without asking.
func http2(keepalive *corev3.KeepaliveSettings) *anypb.Any {
	return mustAny(&httpv3.HttpProtocolOptions{
		UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
					Http2ProtocolOptions: &corev3.Http2ProtocolOptions{ConnectionKeepalive: keepalive},
				},
			},
		},
	})
}

// mustAny packs a message of our own making; it cannot fail for a well-formed one.
func mustAny(message proto.Message) *anypb.Any {
	packed, err := anypb.New(message)
	if err != nil {
		panic(err)
	}
	return packed
}

func noLimits() *clusterv3.CircuitBreakers {
	limit := func(priority corev3.RoutingPriority) *clusterv3.CircuitBreakers_Thresholds {
		return &clusterv3.CircuitBreakers_Thresholds{
			Priority:           priority,
			MaxConnections:     wrapperspb.UInt32(unlimited),
			MaxPendingRequests: wrapperspb.UInt32(unlimited),
			MaxRequests:        wrapperspb.UInt32(unlimited),
		}
	}
	return &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{
		limit(corev3.RoutingPriority_DEFAULT), limit(corev3.RoutingPriority_HIGH),
	}}
}

func assignment(cluster string, address *corev3.Address) *endpointv3.ClusterLoadAssignment {
	return &endpointv3.ClusterLoadAssignment{
		ClusterName: cluster,
		Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: address}},
		}}}},
	}
}

func socketAddress(host string, port uint32) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address:       host,
		PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port},
	}}}
}
