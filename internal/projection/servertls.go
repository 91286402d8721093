// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"slices"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/meshwright/meshwright/internal/ir"
)

// cipherSuites is what Envoy can be told to use with TLS 1.2:
// https://www.envoyproxy.io/docs/envoy/latest/api-v3/extensions/transport_sockets/tls/v3/common.proto.
var cipherSuites = []string{
	"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256",
	"ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384",
	"ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305",
	"ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES128-SHA",
	"ECDHE-ECDSA-AES256-SHA", "ECDHE-RSA-AES256-SHA",
	"AES128-GCM-SHA256", "AES256-GCM-SHA384", "AES128-SHA", "AES256-SHA",
}

// serverTLS projects how a server terminates TLS into the server.
func (g *gateway) serverTLS(at path, in *networking.ServerTLSSettings, out *ir.Server) {
	if out.Protocol != ir.ProtocolHTTPS {
		if in == nil {
			return
		}
		out.HTTPSRedirect = in.HttpsRedirect
		if in.Mode != networking.ServerTLSSettings_PASSTHROUGH || in.CredentialName != "" || in.ServerCertificate != "" {
			g.notes.invalid(at, "is for protocol HTTPS; another protocol may only have httpsRedirect")
		}
		return
	}
	if in == nil {
		g.notes.invalid(at, "is required with protocol HTTPS")
		return
	}
	if in.HttpsRedirect {
		g.notes.invalid(at.field("httpsRedirect"), "is for protocol HTTP only")
	}
	tls := &ir.ServerTLS{CredentialName: in.CredentialName}
	switch in.Mode {
	case networking.ServerTLSSettings_SIMPLE:
		tls.Mode = ir.ServerSimple
	case networking.ServerTLSSettings_MUTUAL:
		tls.Mode = ir.ServerMutual
	default:
		g.notes.refused(at.field("mode"), "this server of mode %s is left out; use SIMPLE or MUTUAL", in.Mode)
		return
	}
	g.credential(at, in)
	tls.MinVersion, tls.MaxVersion = version(in.MinProtocolVersion), version(in.MaxProtocolVersion)
	if in.MaxProtocolVersion != networking.ServerTLSSettings_TLS_AUTO && in.MinProtocolVersion > in.MaxProtocolVersion {
		g.notes.invalid(at.field("maxProtocolVersion"), "must not be lower than minProtocolVersion")
	}
	for i, suite := range in.CipherSuites {
		switch here := at.field("cipherSuites").index(i); {
		case !slices.Contains(cipherSuites, suite):
			g.notes.warn(ReasonInvalid, here, "%q is no cipher suite that the proxy knows and is ignored", suite)
		case slices.Contains(tls.CipherSuites, suite):
			g.notes.warn(ReasonInvalid, here, "%q is listed twice", suite)
		default:
			tls.CipherSuites = append(tls.CipherSuites, suite)
		}
	}
	if len(in.CipherSuites) > 0 && len(tls.CipherSuites) == 0 {
		g.notes.invalid(at.field("cipherSuites"), "has none that the proxy knows")
	}
	out.TLS = tls
}

// credential checks that the server has certificates from exactly one place.
func (g *gateway) credential(at path, in *networking.ServerTLSSettings) {
	files := in.ServerCertificate != "" || in.PrivateKey != "" || len(in.TlsCertificates) > 0
	switch {
	case in.CredentialName == "" && !files && len(in.CredentialNames) == 0:
		g.notes.invalid(at.field("credentialName"), "is required with mode %s: the name of a TLS Secret in the namespace of the gateway's pods", in.Mode)
	case in.CredentialName != "":
		if err := checkName(in.CredentialName); err != nil {
			g.notes.invalid(at.field("credentialName"), "Secret name %v", err)
		}
	}
}

func version(v networking.ServerTLSSettings_TLSProtocol) string {
	if v == networking.ServerTLSSettings_TLS_AUTO {
		return ""
	}
	return v.String()
}
