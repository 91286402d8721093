// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"crypto/x509"
	"errors"
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/xds"
)

// classify admits a proxy whose certificate's identity is the one that it claims.
// Peers without TLS come over the plaintext address, which is only open when
// somebody asked for it, and are believed.
func classify(trustDomain string, where *places, node *corev3.Node, peer xds.Peer) (string, error) {
	key, class, err := where.classOf(node)
	if err != nil {
		return "", status.Error(codes.InvalidArgument, err.Error())
	}
	tls, secured := peer.Auth.(credentials.TLSInfo)
	if !secured {
		return key, nil
	}
	if len(tls.State.VerifiedChains) == 0 {
		return "", status.Error(codes.Unauthenticated, "discovery needs a client certificate of the mesh's CA")
	}
	if err := owns(tls.State.PeerCertificates[0], trustDomain, class); err != nil {
		return "", status.Error(codes.PermissionDenied, err.Error())
	}
	return key, nil
}

// guest admits machines that register. What they write into the cluster is theirs
// only if they prove who they are.
func (m *Mesh) guest(node *corev3.Node, peer xds.Peer) (xds.Guest, error) {
	if m.options.Machines == nil || text(node.GetMetadata().GetFields(), metadataGroup) == "" {
		return nil, nil
	}
	if _, secured := peer.Auth.(credentials.TLSInfo); !secured {
		return nil, status.Error(codes.Unauthenticated, "a machine must show its certificate to register")
	}
	return m.options.Machines.Guest(node)
}

func owns(cert *x509.Certificate, trustDomain string, class *ir.Class) error {
	if len(cert.URIs) != 1 {
		return errors.New("the client certificate has no single SPIFFE id")
	}
	want := ir.SPIFFE(trustDomain, class.Namespace, class.ServiceAccount)
	if got := cert.URIs[0].String(); got != want {
		return fmt.Errorf("the proxy says that it is %s, but its certificate is for %s", want, got)
	}
	return nil
}
