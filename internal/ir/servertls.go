// SPDX-License-Identifier: Apache-2.0

package ir

import (
	"cmp"
	"slices"
	"strings"
)

// ServerTLSMode is what a gateway does with TLS.
type ServerTLSMode uint8

// The server modes.
const (
	ServerSimple          ServerTLSMode = iota
	ServerMutual                        // with a certificate of the client
	ServerPassthrough                   // carried as it is, to where routes say by its server name
	ServerAutoPassthrough               // carried as it is, to the cluster that its server name is the name of
	ServerOptionalMutual                // with a certificate of the client, if it has one
	ServerMesh                          // with the mesh's certificates on both sides
)

// Terminates tells whether TLS ends at the gateway.
func (m ServerTLSMode) Terminates() bool { return m != ServerPassthrough && m != ServerAutoPassthrough }

// carriesHTTP3 tells whether requests may come by HTTP/3, too: it is TLS 1.3 always,
// and clients show no certificates there.
func (m ServerTLSMode) carriesHTTP3(maxVersion string) bool {
	return m == ServerSimple && (maxVersion == "" || maxVersion == "TLSV1_3")
}

// CarriesHTTP3 tells whether requests may come by HTTP/3, too.
func (t *ServerTLS) CarriesHTTP3() bool { return t.Mode.carriesHTTP3(t.MaxVersion) }

// ServerTLS is a gateway server's TLS settings.
type ServerTLS struct {
	Mode         ServerTLSMode
	Certificates []SecretKey // in the order of preference; none with ServerMesh
	CA           SecretKey   // that client certificates must come from; zero: the one beside the first certificate
	CRLFile      string      // path in the proxy
	MinVersion   string      // "", TLSV1_2, TLSV1_3 ...
	MaxVersion   string
	CipherSuites []string
	Client       ClientCheck
}

// Chain is how TLS ends at a listener, but for the certificates, which a proxy may lack.
func (t *ServerTLS) Chain() *ChainTLS {
	return &ChainTLS{Mode: t.Mode, MinVersion: t.MinVersion, MaxVersion: t.MaxVersion, CipherSuites: t.CipherSuites, Client: t.Client}
}

// AsksClients tells whether clients are asked for a certificate of a CA that is configured.
func (t *ServerTLS) AsksClients() bool {
	return t.Mode == ServerMutual || t.Mode == ServerOptionalMutual
}

// ClientCheck is what a certificate of a client must fulfil beside being of the CA.
type ClientCheck struct {
	Names  []string // any of them is a subject alternative name; empty: any name
	SPKI   []string // base64 of the SHA-256 of its key, or
	Hashes []string // hex of its own SHA-256; any of both; empty: any certificate
	Lax    bool     // certificates that fail are taken all the same, for the application to judge
}

// ChainTLS is how a filter chain terminates TLS, with the secrets that exist.
type ChainTLS struct {
	Mode         ServerTLSMode
	Certificates []SecretKey // none with ServerMesh
	CA           SecretKey   // zero: clients are not asked
	MinVersion   string
	MaxVersion   string
	CipherSuites []string
	Client       ClientCheck
	TrustDomain  string // with ServerMesh
}

// Secrets is all that the chain asks for over the proxy's own discovery.
func (t *ChainTLS) Secrets() []SecretKey {
	out := slices.Clone(t.Certificates)
	if !t.CA.IsZero() {
		out = append(out, t.CA)
	}
	return out
}

// SecretKey names what a proxy asks for over secret discovery.
type SecretKey struct {
	Kind       SecretKind
	Credential string // Secret in the namespace of the proxy, or
	File       string // path in the proxy
	KeyFile    string // path of the certificate's key
	CRLFile    string // path of the CA's revocation list
}

// SecretKind is which part of a Secret is meant.
type SecretKind uint8

// The kinds.
const (
	SecretNone SecretKind = iota
	SecretCertificate
	SecretCA
)

// IsZero tells whether nothing is named.
func (k SecretKey) IsZero() bool { return k == SecretKey{} }

// The grammar of names: kubernetes://SECRET and kubernetes-ca://SECRET,
// file-cert:CERTIFICATE~KEY and file-root:CA; ~crl:FILE follows a CA whose
// revocation list is a file.
const (
	secretPrefix   = "kubernetes://"
	secretCAPrefix = "kubernetes-ca://"
	secretFile     = "file-cert:"
	secretRootFile = "file-root:"
	secretCRL      = "~crl:"
)

// Name is the name of the resource. No Secret's name and no path that is served
// has a "~" in it, so that names differ where keys do.
func (k SecretKey) Name() string {
	switch {
	case k.Kind == SecretCertificate && k.Credential != "":
		return secretPrefix + k.Credential
	case k.Kind == SecretCertificate:
		return secretFile + k.File + "~" + k.KeyFile
	}
	name := secretRootFile + k.File
	if k.Credential != "" {
		name = secretCAPrefix + k.Credential
	}
	if k.CRLFile != "" {
		name += secretCRL + k.CRLFile
	}
	return name
}

// Compare orders by name.
func (k SecretKey) Compare(o SecretKey) int {
	return cmp.Or(cmp.Compare(k.Kind, o.Kind), strings.Compare(k.Name(), o.Name()))
}
