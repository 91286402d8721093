// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/meshwright/meshwright/internal/ir"
)

// clientTLS projects how a client connects. Settings in error still ask for TLS with
// a checked server: a connection that fails is better than one that is not safe.
func (d *destinationRule) clientTLS(at path, in *networking.ClientTLSSettings) *ir.ClientTLS {
	if in == nil {
		return nil
	}
	before := d.notes.errors()
	out := &ir.ClientTLS{
		SNI:                in.Sni,
		SubjectAltNames:    slices.Clone(in.SubjectAltNames),
		InsecureSkipVerify: in.InsecureSkipVerify.GetValue(),
		CACertificates:     in.CaCertificates,
		CRL:                in.CaCrl,
		Credential:         in.CredentialName,
	}
	if in.CaCertificates == systemRoots {
		out.CACertificates = ""
	}
	d.serverNames(at, in, out)
	switch in.Mode {
	case networking.ClientTLSSettings_DISABLE:
		return &ir.ClientTLS{Mode: ir.TLSDisable}
	case networking.ClientTLSSettings_ISTIO_MUTUAL:
		if in.ClientCertificate != "" || in.PrivateKey != "" || in.CaCertificates != "" || in.CredentialName != "" || in.CaCrl != "" {
			d.notes.warn(ReasonUnreachable, at, "ISTIO_MUTUAL uses the mesh's certificates; those named here have no effect")
		}
		return &ir.ClientTLS{Mode: ir.TLSMesh, SNI: out.SNI, SubjectAltNames: out.SubjectAltNames}
	case networking.ClientTLSSettings_SIMPLE:
		out.Mode = ir.TLSSimple
	case networking.ClientTLSSettings_MUTUAL:
		out.Mode = ir.TLSMutual
		out.ClientCertificate, out.PrivateKey = in.ClientCertificate, in.PrivateKey
		d.clientFiles(at, in)
	default:
		d.notes.invalid(at.field("mode"), "%d is no TLS mode", in.Mode)
	}
	d.authority(at, in)
	if in.CredentialName != "" && (in.ClientCertificate != "" || in.PrivateKey != "" || in.CaCertificates != "") {
		d.notes.invalid(at, "must not have both credentialName and files")
	}
	if out.InsecureSkipVerify && (in.CaCertificates != "" || len(in.SubjectAltNames) > 0) {
		d.notes.invalid(at.field("insecureSkipVerify"), "contradicts caCertificates and subjectAltNames; remove one of them")
	}
	if d.notes.errors() > before {
		return &ir.ClientTLS{Mode: ir.TLSSimple, SNI: out.SNI, SubjectAltNames: out.SubjectAltNames, CACertificates: out.CACertificates, Credential: out.Credential}
	}
	return out
}

// systemRoots is the word of caCertificates for the roots of the proxy's system, which
// hold where nothing is said, too.
const systemRoots = "system"

// authority checks by what servers are to be checked.
func (d *destinationRule) authority(at path, in *networking.ClientTLSSettings) {
	if in.CredentialName != "" {
		if err := checkName(in.CredentialName); err != nil {
			d.notes.invalid(at.field("credentialName"), "Secret name %v", err)
		}
	}
	if in.CaCrl != "" {
		checkFile(&d.notes, at.field("caCrl"), in.CaCrl)
	}
	if in.CaCrl != "" && in.InsecureSkipVerify.GetValue() {
		d.notes.warn(ReasonUnreachable, at.field("caCrl"), "with insecureSkipVerify no certificate is checked")
	}
}

// serverNames leaves out names that no server can have. Those that name a cluster of
// the mesh to a gateway have underscores.
func (d *destinationRule) serverNames(at path, in *networking.ClientTLSSettings, out *ir.ClientTLS) {
	if in.Sni != "" && checkName(strings.ReplaceAll(in.Sni, "_", "x")) != nil {
		d.notes.invalid(at.field("sni"), "server name %q must be a DNS name", in.Sni)
		out.SNI = ""
	}
	for i, name := range in.SubjectAltNames {
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
			d.notes.invalid(at.field("subjectAltNames").index(i), "name %q must consist of ASCII letters, digits and signs", name)
		}
	}
}

func (d *destinationRule) clientFiles(at path, in *networking.ClientTLSSettings) {
	if in.CredentialName != "" {
		return
	}
	if in.ClientCertificate == "" {
		d.notes.invalid(at.field("clientCertificate"), "is required with mode MUTUAL")
	}
	if in.PrivateKey == "" {
		d.notes.invalid(at.field("privateKey"), "is required with mode MUTUAL")
	}
}
