// SPDX-License-Identifier: Apache-2.0

package tls

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/meshwright/meshwright/internal/ir"
)

// Secret is the SDS resource of a key. The credential is nil for a key of files:
// the proxy reads them itself, and again when they are replaced. Files are named
// here and not in a listener, which Envoy would refuse as a whole were one missing.
func Secret(k ir.SecretKey, c *ir.Credential) *tlsv3.Secret {
	out := &tlsv3.Secret{Name: k.Name()}
	if k.Kind == ir.SecretCertificate {
		pair := &tlsv3.TlsCertificate{CertificateChain: file(k.File), PrivateKey: file(k.KeyFile)}
		if k.Credential != "" {
			pair = &tlsv3.TlsCertificate{CertificateChain: inline(c.Certificate), PrivateKey: inline(c.PrivateKey)}
		}
		out.Type = &tlsv3.Secret_TlsCertificate{TlsCertificate: pair}
		return out
	}
	check := &tlsv3.CertificateValidationContext{}
	if k.Credential != "" {
		check.TrustedCa = inline(c.CA)
		if len(c.CRL) > 0 {
			check.Crl = inline(c.CRL)
		}
	} else {
		check.TrustedCa = file(k.File)
	}
	if k.CRLFile != "" {
		check.Crl = file(k.CRLFile)
	}
	out.Type = &tlsv3.Secret_ValidationContext{ValidationContext: check}
	return out
}

func inline(b []byte) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: b}}
}
