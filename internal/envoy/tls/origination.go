// SPDX-License-Identifier: Apache-2.0

package tls

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/meshwright/meshwright/internal/ir"
)

// systemRoots is where the proxy's image has the roots of its system.
const systemRoots = "/etc/ssl/certs/ca-certificates.crt"

// Origination is TLS to a server outside the mesh, by the client's own settings. Secrets are nil where files are named.
func Origination(t *ir.ClientTLS, secrets *ir.ClientSecrets, http2 bool) *corev3.TransportSocket {
	ctx := &tlsv3.CommonTlsContext{}
	if http2 {
		ctx.AlpnProtocols = []string{"h2"}
	}
	switch {
	case secrets != nil && !secrets.Certificate.IsZero():
		ctx.TlsCertificateSdsSecretConfigs = []*tlsv3.SdsSecretConfig{secret(secrets.Certificate)}
	case t.Mode == ir.TLSMutual:
		ctx.TlsCertificates = []*tlsv3.TlsCertificate{{
			CertificateChain: file(t.ClientCertificate),
			PrivateKey:       file(t.PrivateKey),
		}}
	}
	if !t.InsecureSkipVerify {
		checkServer(ctx, t, secrets)
	}
	return socket(&tlsv3.UpstreamTlsContext{Sni: t.SNI, CommonTlsContext: ctx})
}

func checkServer(ctx *tlsv3.CommonTlsContext, t *ir.ClientTLS, secrets *ir.ClientSecrets) {
	check := &tlsv3.CertificateValidationContext{MatchTypedSubjectAltNames: dnsOrURI(t.SubjectAltNames)}
	if secrets != nil {
		ctx.ValidationContextType = &tlsv3.CommonTlsContext_CombinedValidationContext{
			CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
				DefaultValidationContext: check, ValidationContextSdsSecretConfig: secret(secrets.CA),
			},
		}
		return
	}
	ca := t.CACertificates
	if ca == "" {
		ca = systemRoots
	}
	check.TrustedCa = file(ca)
	if t.CRL != "" {
		check.Crl = file(t.CRL)
	}
	ctx.ValidationContextType = &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: check}
}
