// SPDX-License-Identifier: Apache-2.0

package ca

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// ErrNoIdentity means that the caller presented no client certificate.
var ErrNoIdentity = errors.New("no client certificate was presented")

// Identity names a workload by the service account that it runs as. Its text form is a SPIFFE id,
// spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/SERVICE_ACCOUNT (https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md).
type Identity struct {
	TrustDomain    string
	Namespace      string
	ServiceAccount string
}

// URL is the SPIFFE id as it stands in a certificate's URI subject alternative name.
func (i Identity) URL() *url.URL {
	return &url.URL{Scheme: "spiffe", Host: i.TrustDomain, Path: "/ns/" + i.Namespace + "/sa/" + i.ServiceAccount}
}

// String is the SPIFFE id.
func (i Identity) String() string { return i.URL().String() }

// ParseIdentity reads a SPIFFE id of a service account. Anything else, a port, a query or an escaped path included, is
// an error.
func ParseIdentity(id *url.URL) (Identity, error) {
	bad := fmt.Errorf("%q is not of the form spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/SERVICE_ACCOUNT", id)
	if id.Scheme != "spiffe" || id.Host == "" || id.Port() != "" || id.User != nil || id.RawQuery != "" || id.Fragment != "" || id.RawPath != "" {
		return Identity{}, bad
	}
	part := strings.Split(id.Path, "/")
	if len(part) != 5 || part[0] != "" || part[1] != "ns" || part[2] == "" || part[3] != "sa" || part[4] == "" {
		return Identity{}, bad
	}
	return Identity{TrustDomain: id.Host, Namespace: part[2], ServiceAccount: part[4]}, nil
}

// CertificateIdentity is the identity that a verified workload certificate carries: its only URI name.
func CertificateIdentity(leaf *x509.Certificate) (Identity, error) {
	if len(leaf.URIs) != 1 {
		return Identity{}, fmt.Errorf("the client certificate has %d URI names, a workload's has one", len(leaf.URIs))
	}
	return ParseIdentity(leaf.URIs[0])
}

// PeerIdentity is the identity of the client at the other end of a gRPC connection whose certificate the TLS handshake
// verified. Without a certificate it answers ErrNoIdentity.
func PeerIdentity(p *peer.Peer) (Identity, error) {
	if p == nil {
		return Identity{}, ErrNoIdentity
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 || len(info.State.VerifiedChains[0]) == 0 {
		return Identity{}, ErrNoIdentity
	}
	return CertificateIdentity(info.State.VerifiedChains[0][0])
}
