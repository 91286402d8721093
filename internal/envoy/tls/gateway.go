// SPDX-License-Identifier: Apache-2.0

package tls

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	quicv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/quic/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshwright/meshwright/internal/envoy/typed"
	"github.com/meshwright/meshwright/internal/ir"
)

// Gateway is TLS that a gateway terminates. Everything secret in it comes by name,
// so that a renewed certificate changes no listener.
func Gateway(t *ir.ChainTLS, alpn []string) *corev3.TransportSocket {
	return socket(gatewayContext(t, alpn))
}

// GatewayHTTP3 is the same over QUIC. A request that comes before the handshake is
// complete could be one that somebody has recorded, so none is taken.
func GatewayHTTP3(t *ir.ChainTLS) *corev3.TransportSocket {
	ctx := gatewayContext(t, []string{"h3"})
	ctx.CommonTlsContext.TlsParams = nil // it is TLS 1.3
	return &corev3.TransportSocket{
		Name: "envoy.transport_sockets.quic",
		ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: typed.Config(&quicv3.QuicDownstreamTransport{
			DownstreamTlsContext: ctx, EnableEarlyData: wrapperspb.Bool(false),
		})},
	}
}

func gatewayContext(t *ir.ChainTLS, alpn []string) *tlsv3.DownstreamTlsContext {
	ctx := &tlsv3.CommonTlsContext{AlpnProtocols: alpn}
	if t.Mode == ir.ServerMesh {
		ctx = meshContext(t.TrustDomain, nil, alpn)
		if len(t.Client.Names) > 0 {
			ctx.GetCombinedValidationContext().DefaultValidationContext = clientCheck(&t.Client)
		}
	}
	ctx.TlsParams = &tlsv3.TlsParameters{
		TlsMinimumProtocolVersion: version(t.MinVersion, tlsv3.TlsParameters_TLSv1_2),
		TlsMaximumProtocolVersion: version(t.MaxVersion, tlsv3.TlsParameters_TLS_AUTO),
		CipherSuites:              t.CipherSuites,
	}
	for _, k := range t.Certificates {
		ctx.TlsCertificateSdsSecretConfigs = append(ctx.TlsCertificateSdsSecretConfigs, secret(k))
	}
	if !t.CA.IsZero() {
		validate(ctx, t)
	}
	return &tlsv3.DownstreamTlsContext{
		CommonTlsContext:         ctx,
		RequireClientCertificate: wrapperspb.Bool(t.Mode == ir.ServerMutual || t.Mode == ir.ServerMesh),
	}
}

// validate checks client certificates against the CA, and against what else is asked of them.
func validate(ctx *tlsv3.CommonTlsContext, t *ir.ChainTLS) {
	check := clientCheck(&t.Client)
	if check == nil {
		ctx.ValidationContextType = &tlsv3.CommonTlsContext_ValidationContextSdsSecretConfig{
			ValidationContextSdsSecretConfig: secret(t.CA),
		}
		return
	}
	ctx.ValidationContextType = &tlsv3.CommonTlsContext_CombinedValidationContext{
		CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
			DefaultValidationContext: check, ValidationContextSdsSecretConfig: secret(t.CA),
		},
	}
}

// clientCheck is nil when nothing is asked.
func clientCheck(c *ir.ClientCheck) *tlsv3.CertificateValidationContext {
	if len(c.Names)+len(c.SPKI)+len(c.Hashes) == 0 && !c.Lax {
		return nil
	}
	out := &tlsv3.CertificateValidationContext{VerifyCertificateSpki: c.SPKI, VerifyCertificateHash: c.Hashes}
	for _, name := range c.Names {
		for _, kind := range []tlsv3.SubjectAltNameMatcher_SanType{
			tlsv3.SubjectAltNameMatcher_URI, tlsv3.SubjectAltNameMatcher_DNS,
			tlsv3.SubjectAltNameMatcher_EMAIL, tlsv3.SubjectAltNameMatcher_IP_ADDRESS,
		} {
			out.MatchTypedSubjectAltNames = append(out.MatchTypedSubjectAltNames, &tlsv3.SubjectAltNameMatcher{
				SanType: kind, Matcher: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: name}},
			})
		}
	}
	if c.Lax {
		out.TrustChainVerification = tlsv3.CertificateValidationContext_ACCEPT_UNTRUSTED
	}
	return out
}

func secret(k ir.SecretKey) *tlsv3.SdsSecretConfig {
	return &tlsv3.SdsSecretConfig{Name: k.Name(), SdsConfig: typed.ADS()}
}
