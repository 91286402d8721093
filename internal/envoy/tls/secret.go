// SPDX-License-Identifier: Apache-2.0

package tls

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/meshwright/meshwright/internal/ir"
)

// SecretName is the SDS name of a Secret's certificate and key.
func SecretName(credential string) string { return gatewayPrefix + credential }

// CASecretName is the SDS name of a Secret's client CA.
func CASecretName(credential string) string { return gatewayPrefix + credential + gatewayCASuffix }

// Certificate is the SDS resource of a Secret's certificate and key.
func Certificate(c *ir.Credential) *tlsv3.Secret {
	return &tlsv3.Secret{
		Name: SecretName(c.Key.Name),
		Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
			CertificateChain: inline(c.Certificate),
			PrivateKey:       inline(c.PrivateKey),
		}},
	}
}

// ClientCA is the SDS resource of the CA that client certificates must come from.
func ClientCA(c *ir.Credential) *tlsv3.Secret {
	return &tlsv3.Secret{
		Name: CASecretName(c.Key.Name),
		Type: &tlsv3.Secret_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{
			TrustedCa: inline(c.CA),
		}},
	}
}

func inline(b []byte) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: b}}
}
