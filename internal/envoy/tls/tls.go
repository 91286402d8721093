// SPDX-License-Identifier: Apache-2.0

// Package tls builds the TLS contexts of Envoy's connections.
// See https://www.envoyproxy.io/docs/envoy/latest/api-v3/extensions/transport_sockets/tls/v3/tls.proto.
package tls

import (
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshwright/meshwright/internal/envoy/typed"
)

// ALPN is the protocol name by which a server's proxy knows a mesh connection
// from TLS of the application. Whether HTTP/1 or HTTP/2 follows is not
// negotiated: the client's cluster decides and the server detects it.
const ALPN = "istio"

// ALPNHTTP is the same where the server cannot know from its port that requests follow.
const ALPNHTTP = "istio-http/1.1"

// IsHTTP tells which of MeshALPNs say that requests follow.
func IsHTTP(alpn string) bool {
	return strings.HasPrefix(alpn, "istio-http/") || alpn == "istio-h2"
}

// MeshALPNs is every name that clients of this and of compatible meshes offer.
func MeshALPNs() []string {
	return []string{ALPN, "istio-peer-exchange", "istio-http/1.0", "istio-http/1.1", "istio-h2"}
}

const (
	socketName     = "envoy.transport_sockets.tls"
	agentCluster   = "sds-grpc" // the agent's Unix socket, in the bootstrap
	workloadSecret = "default"
	rootSecret     = "ROOTCA"
)

// MeshClient is mutual TLS to a server whose identity is one of the given SPIFFE
// ids, or any of the trust domain when there is none.
func MeshClient(trustDomain string, identities []string, sni, alpn string) *corev3.TransportSocket {
	return socket(&tlsv3.UpstreamTlsContext{
		Sni:              sni,
		CommonTlsContext: meshContext(trustDomain, identities, []string{alpn}),
	})
}

// MeshServer is mutual TLS that accepts any client of the trust domain. It agrees to
// no name of the mesh's own: Envoy looks for HTTP/2 in what follows only when
// nothing was agreed upon, and takes every other name for HTTP/1.
func MeshServer(trustDomain string) *corev3.TransportSocket {
	ctx := meshContext(trustDomain, nil, []string{"h2", "http/1.1"})
	ctx.TlsParams = &tlsv3.TlsParameters{TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_2}
	return socket(&tlsv3.DownstreamTlsContext{
		RequireClientCertificate: wrapperspb.Bool(true),
		CommonTlsContext:         ctx,
	})
}

func meshContext(trustDomain string, identities, alpn []string) *tlsv3.CommonTlsContext {
	return &tlsv3.CommonTlsContext{
		AlpnProtocols: alpn,
		TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{{
			Name: workloadSecret, SdsConfig: agentSource(),
		}},
		ValidationContextType: &tlsv3.CommonTlsContext_CombinedValidationContext{
			CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
				DefaultValidationContext: &tlsv3.CertificateValidationContext{
					MatchTypedSubjectAltNames: spiffe(trustDomain, identities),
				},
				ValidationContextSdsSecretConfig: &tlsv3.SdsSecretConfig{
					Name: rootSecret, SdsConfig: agentSource(),
				},
			},
		},
	}
}

func spiffe(trustDomain string, identities []string) []*tlsv3.SubjectAltNameMatcher {
	uri := func(m *matcherv3.StringMatcher) *tlsv3.SubjectAltNameMatcher {
		return &tlsv3.SubjectAltNameMatcher{SanType: tlsv3.SubjectAltNameMatcher_URI, Matcher: m}
	}
	if len(identities) == 0 {
		return []*tlsv3.SubjectAltNameMatcher{uri(&matcherv3.StringMatcher{
			MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: "spiffe://" + trustDomain + "/"},
		})}
	}
	out := make([]*tlsv3.SubjectAltNameMatcher, len(identities))
	for i, id := range identities {
		out[i] = uri(&matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: id}})
	}
	return out
}

func dnsOrURI(names []string) []*tlsv3.SubjectAltNameMatcher {
	var out []*tlsv3.SubjectAltNameMatcher
	for _, n := range names {
		for _, kind := range []tlsv3.SubjectAltNameMatcher_SanType{tlsv3.SubjectAltNameMatcher_DNS, tlsv3.SubjectAltNameMatcher_URI} {
			out = append(out, &tlsv3.SubjectAltNameMatcher{
				SanType: kind,
				Matcher: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: n}},
			})
		}
	}
	return out
}

func version(name string, unset tlsv3.TlsParameters_TlsProtocol) tlsv3.TlsParameters_TlsProtocol {
	switch name {
	case "TLSV1_0":
		return tlsv3.TlsParameters_TLSv1_0
	case "TLSV1_1":
		return tlsv3.TlsParameters_TLSv1_1
	case "TLSV1_2":
		return tlsv3.TlsParameters_TLSv1_2
	case "TLSV1_3":
		return tlsv3.TlsParameters_TLSv1_3
	}
	return unset
}

func agentSource() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ResourceApiVersion: corev3.ApiVersion_V3,
		ConfigSourceSpecifier: &corev3.ConfigSource_ApiConfigSource{ApiConfigSource: &corev3.ApiConfigSource{
			ApiType:                   corev3.ApiConfigSource_GRPC,
			TransportApiVersion:       corev3.ApiVersion_V3,
			SetNodeOnFirstMessageOnly: true,
			GrpcServices: []*corev3.GrpcService{{
				TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: agentCluster}},
			}},
		}},
		InitialFetchTimeout: durationpb.New(0),
	}
}

func file(path string) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_Filename{Filename: path}}
}

func socket(c proto.Message) *corev3.TransportSocket {
	return &corev3.TransportSocket{
		Name:       socketName,
		ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: typed.Config(c)},
	}
}
