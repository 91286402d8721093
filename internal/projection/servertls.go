// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"encoding/base64"
	"encoding/hex"
	"path/filepath"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
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

// maxCertificates bounds the certificates of one server: one of each kind of key.
const maxCertificates = 2

// serverModes is the modes in which TLS ends at the gateway.
var serverModes = map[networking.ServerTLSSettings_TLSmode]ir.ServerTLSMode{
	networking.ServerTLSSettings_SIMPLE:          ir.ServerSimple,
	networking.ServerTLSSettings_MUTUAL:          ir.ServerMutual,
	networking.ServerTLSSettings_OPTIONAL_MUTUAL: ir.ServerOptionalMutual,
	networking.ServerTLSSettings_ISTIO_MUTUAL:    ir.ServerMesh,
}

// serverTLS projects how a server terminates TLS into the server.
func (g *gateway) serverTLS(at path, in *networking.ServerTLSSettings, out *ir.Server) {
	if in == nil && !out.Protocol.IsTLS() {
		return
	}
	if out.Protocol.IsHTTP() {
		out.HTTPSRedirect = in.HttpsRedirect
		if in.Mode != networking.ServerTLSSettings_PASSTHROUGH || in.CredentialName != "" || in.ServerCertificate != "" {
			g.notes.invalid(at, "is for protocols HTTPS, TLS and TCP; another protocol may only have httpsRedirect")
		}
		return
	}
	if in == nil {
		g.notes.invalid(at, "is required with protocols HTTPS and TLS")
		return
	}
	if in.HttpsRedirect {
		g.notes.invalid(at.field("httpsRedirect"), "is for protocol HTTP only")
	}
	switch in.Mode {
	case networking.ServerTLSSettings_PASSTHROUGH:
		out.TLS = g.passthrough(at, in, ir.ServerPassthrough)
	case networking.ServerTLSSettings_AUTO_PASSTHROUGH:
		out.TLS = g.passthrough(at, in, ir.ServerAutoPassthrough)
	default:
		mode, ok := serverModes[in.Mode]
		if !ok {
			g.notes.invalid(at.field("mode"), "%d is no mode", in.Mode)
			return
		}
		out.TLS = g.termination(at, in, mode)
	}
}

// passthrough projects the settings of TLS that is carried as it is: there are none.
// Whoever has set some meant TLS to end here, which is not what happens.
func (g *gateway) passthrough(at path, in *networking.ServerTLSSettings, mode ir.ServerTLSMode) *ir.ServerTLS {
	in.ProtoReflect().Range(func(fd protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		if name := fd.JSONName(); name != "mode" && name != "httpsRedirect" {
			g.notes.warn(ReasonUnreachable, at.field(name), "has no effect with mode %s, as TLS does not end here; use mode SIMPLE or MUTUAL, or remove it", in.Mode)
		}
		return true
	})
	return &ir.ServerTLS{Mode: mode}
}

// termination projects the settings of TLS that ends at the gateway.
func (g *gateway) termination(at path, in *networking.ServerTLSSettings, mode ir.ServerTLSMode) *ir.ServerTLS {
	out := &ir.ServerTLS{Mode: mode}
	if mode == ir.ServerMesh {
		g.meshOnly(at, in)
	} else {
		out.Certificates = g.certificates(at, in)
	}
	if out.AsksClients() {
		g.clientCA(at, in, out)
	} else if in.CaCrl != "" && mode != ir.ServerMesh {
		g.notes.warn(ReasonUnreachable, at.field("caCrl"), "has no effect with mode %s, which asks for no client certificate", in.Mode)
	}
	out.Client = g.clientCheck(at, in, mode)
	out.MinVersion, out.MaxVersion = version(in.MinProtocolVersion), version(in.MaxProtocolVersion)
	switch {
	case in.MaxProtocolVersion != networking.ServerTLSSettings_TLS_AUTO && in.MinProtocolVersion > in.MaxProtocolVersion:
		g.notes.invalid(at.field("maxProtocolVersion"), "must not be lower than minProtocolVersion")
	case in.MinProtocolVersion == networking.ServerTLSSettings_TLS_AUTO:
		// The default is TLS 1.2, which may not be above what the user wants at most.
		if m := in.MaxProtocolVersion; m == networking.ServerTLSSettings_TLSV1_0 || m == networking.ServerTLSSettings_TLSV1_1 {
			out.MinVersion = out.MaxVersion
		}
	}
	out.CipherSuites = g.ciphers(at.field("cipherSuites"), in.CipherSuites)
	return out
}

func (g *gateway) ciphers(at path, in []string) []string {
	var out []string
	for i, suite := range in {
		switch here := at.index(i); {
		case strings.HasPrefix(suite, "TLS_"):
			g.notes.warn(ReasonInvalid, here, "%q is ignored: the cipher suites of TLS 1.3 are all in use and cannot be chosen", suite)
		case !slices.Contains(cipherSuites, suite):
			g.notes.warn(ReasonInvalid, here, "%q is no cipher suite that the proxy knows and is ignored", suite)
		case slices.Contains(out, suite):
			g.notes.warn(ReasonInvalid, here, "%q is listed twice", suite)
		default:
			out = append(out, suite)
		}
	}
	if len(in) > 0 && len(out) == 0 {
		g.notes.invalid(at, "has none that the proxy knows")
	}
	return out
}

// meshOnly warns of certificates of a server that takes those of the mesh.
func (g *gateway) meshOnly(at path, in *networking.ServerTLSSettings) {
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"credentialName", in.CredentialName != ""},
		{"credentialNames", len(in.CredentialNames) > 0},
		{"caCertCredentialName", in.CaCertCredentialName != ""},
		{"serverCertificate", in.ServerCertificate != ""},
		{"privateKey", in.PrivateKey != ""},
		{"caCertificates", in.CaCertificates != ""},
		{"caCrl", in.CaCrl != ""},
		{"tlsCertificates", len(in.TlsCertificates) > 0},
	} {
		if f.set {
			g.notes.warn(ReasonUnreachable, at.field(f.name), "has no effect: ISTIO_MUTUAL uses the mesh's own certificates")
		}
	}
}

// certificates is where a server has its certificates from: exactly one of the places.
func (g *gateway) certificates(at path, in *networking.ServerTLSSettings) []ir.SecretKey {
	var places []string
	var out []ir.SecretKey
	place := func(name string, set bool, read func()) {
		if set {
			if places = append(places, name); len(places) == 1 {
				read()
			}
		}
	}
	secret := func(at path, name string) {
		if err := checkName(name); err != nil {
			g.notes.invalid(at, "Secret name %v", err)
			return
		}
		out = append(out, ir.SecretKey{Kind: ir.SecretCertificate, Credential: name})
	}
	place("credentialName", in.CredentialName != "", func() { secret(at.field("credentialName"), in.CredentialName) })
	place("credentialNames", len(in.CredentialNames) > 0, func() {
		for i, name := range in.CredentialNames {
			secret(at.field("credentialNames").index(i), name)
		}
	})
	place("serverCertificate", in.ServerCertificate != "" || in.PrivateKey != "", func() {
		out = g.filePair(at, out, in.ServerCertificate, in.PrivateKey)
	})
	place("tlsCertificates", len(in.TlsCertificates) > 0, func() {
		for i, pair := range in.TlsCertificates {
			out = g.filePair(at.field("tlsCertificates").index(i), out, pair.GetServerCertificate(), pair.GetPrivateKey())
		}
	})
	switch {
	case len(places) == 0:
		g.notes.invalid(at.field("credentialName"), "is required with mode %s: the name of a TLS Secret in the namespace of the gateway's pods", in.Mode)
	case len(places) > 1:
		g.notes.invalid(at, "must have its certificates from one place and has %s", strings.Join(places, " and "))
	case len(out) > maxCertificates:
		g.notes.invalid(at.field(places[0]), "has %d certificates; %d are enough, one of each kind of key", len(out), maxCertificates)
	}
	return slices.Compact(out)
}

func (g *gateway) filePair(at path, out []ir.SecretKey, certificate, key string) []ir.SecretKey {
	if g.file(at.field("serverCertificate"), certificate) && g.file(at.field("privateKey"), key) {
		out = append(out, ir.SecretKey{Kind: ir.SecretCertificate, File: certificate, KeyFile: key})
	}
	return out
}

// file checks a path in the gateway's pods.
func (g *gateway) file(at path, name string) bool {
	if name == "" {
		g.notes.invalid(at, "is required: the path of a file in the gateway's pods")
		return false
	}
	return checkFile(&g.notes, at, name)
}

// checkFile checks a path in a proxy's pod, which becomes part of a resource's name.
func checkFile(n *notes, at path, name string) bool {
	if !filepath.IsAbs(name) || filepath.Clean(name) != name || strings.ContainsAny(name, "~\x00") {
		n.invalid(at, `%q must be an absolute path without "..", "//" and "~"`, name)
		return false
	}
	return true
}

// clientCA is where the CA of client certificates is. It may stay open: then it is
// beside the certificate, in the same Secret or in one named after it.
func (g *gateway) clientCA(at path, in *networking.ServerTLSSettings, out *ir.ServerTLS) {
	ca := in.CaCertificates
	for _, pair := range in.TlsCertificates {
		if ca == "" {
			ca = pair.GetCaCertificates()
		}
	}
	switch {
	case in.CaCertCredentialName != "":
		if err := checkName(in.CaCertCredentialName); err != nil {
			g.notes.invalid(at.field("caCertCredentialName"), "Secret name %v", err)
		}
		out.CA = ir.SecretKey{Kind: ir.SecretCA, Credential: in.CaCertCredentialName}
	case ca != "":
		if g.file(at.field("caCertificates"), ca) {
			out.CA = ir.SecretKey{Kind: ir.SecretCA, File: ca}
		}
	case len(out.Certificates) > 0 && out.Certificates[0].Credential == "":
		g.notes.invalid(at.field("caCertificates"), "is required with mode %s: the path of the CA that client certificates must come from", in.Mode)
	}
	if in.CaCrl != "" && g.file(at.field("caCrl"), in.CaCrl) {
		out.CRLFile = in.CaCrl
	}
}

// clientCheck is what client certificates must fulfil beside being of the CA.
func (g *gateway) clientCheck(at path, in *networking.ServerTLSSettings, mode ir.ServerTLSMode) ir.ClientCheck {
	out := ir.ClientCheck{
		Names: in.SubjectAltNames, SPKI: in.VerifyCertificateSpki, Hashes: in.VerifyCertificateHash,
		Lax: in.GetInsecureSkipVerify().GetValue(),
	}
	if mode == ir.ServerSimple {
		if len(out.Names)+len(out.SPKI)+len(out.Hashes) > 0 || out.Lax {
			g.notes.invalid(at, "checks of client certificates need mode MUTUAL, OPTIONAL_MUTUAL or ISTIO_MUTUAL")
		}
		return ir.ClientCheck{}
	}
	for i, name := range out.Names {
		if name == "" {
			g.notes.invalid(at.field("subjectAltNames").index(i), "must not be empty")
		}
	}
	for i, pin := range out.SPKI {
		if sum, err := base64.StdEncoding.DecodeString(pin); err != nil || len(sum) != 32 {
			g.notes.invalid(at.field("verifyCertificateSpki").index(i), "%q is not the base64 of a SHA-256", pin)
		}
	}
	for i, pin := range out.Hashes {
		if sum, err := hex.DecodeString(strings.ReplaceAll(pin, ":", "")); err != nil || len(sum) != 32 || len(pin) != 64 && len(pin) != 95 {
			g.notes.invalid(at.field("verifyCertificateHash").index(i), "%q is not the hex of a SHA-256, with colons between all bytes or none", pin)
		}
	}
	if out.Lax && mode == ir.ServerMesh {
		g.notes.invalid(at.field("insecureSkipVerify"), "contradicts ISTIO_MUTUAL")
	}
	return out
}

func version(v networking.ServerTLSSettings_TLSProtocol) string {
	if v == networking.ServerTLSSettings_TLS_AUTO {
		return ""
	}
	return v.String()
}
