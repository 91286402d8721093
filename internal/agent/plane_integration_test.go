// SPDX-License-Identifier: Apache-2.0

//go:build integration && linux

package agent

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	securityv1alpha1 "istio.io/api/security/v1alpha1"
)

const (
	identityURI = "spiffe://cluster.local/ns/shop/sa/reviews"
	goodToken   = "a-token"
)

// plane is a control plane in a test: it signs certificates for who shows the token, and serves one snapshot over delta ADS
// to who shows such a certificate.
type plane struct {
	securityv1alpha1.UnimplementedIstioCertificateServiceServer

	root    *x509.Certificate
	key     *ecdsa.PrivateKey
	ttl     time.Duration
	address string
	grpc    *grpc.Server

	mu      sync.Mutex
	signed  int
	streams int
	peers   []string
	nodes   []*corev3.Node
	refused []string
}

type constantHash struct{}

func (constantHash) ID(*corev3.Node) string { return "proxy" }

func startPlane(t *testing.T, ttl time.Duration, listeners, clusters []types.Resource) *plane {
	t.Helper()
	p := &plane{ttl: ttl}
	p.makeRoot(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	p.address = net.JoinHostPort("localhost", port)
	snapshots := cache.NewSnapshotCache(true, constantHash{}, nil)
	snapshot, err := cache.NewSnapshot("1", map[resource.Type][]types.Resource{
		resource.ListenerType: listeners, resource.ClusterType: clusters,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := snapshots.SetSnapshot(t.Context(), "proxy", snapshot); err != nil {
		t.Fatal(err)
	}
	p.grpc = grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS12, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: p.pool(),
		Certificates: []tls.Certificate{p.serving(t)}, NextProtos: []string{"h2"},
	})))
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(p.grpc, server.NewServer(t.Context(), snapshots, p.callbacks()))
	securityv1alpha1.RegisterIstioCertificateServiceServer(p.grpc, p)
	go func() { _ = p.grpc.Serve(listener) }()
	t.Cleanup(p.grpc.Stop)
	return p
}

func (p *plane) makeRoot(t *testing.T) {
	t.Helper()
	var err error
	if p.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mesh root"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &p.key.PublicKey, p.key)
	if err != nil {
		t.Fatal(err)
	}
	if p.root, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
}

func (p *plane) rootPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.root.Raw})
}

func (p *plane) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(p.root)
	return pool
}

func (p *plane) sign(public any, serial int64, uri string, ttl time.Duration, names ...string) ([]byte, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(ttl), DNSNames: names,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if uri != "" {
		parsed, err := url.Parse(uri)
		if err != nil {
			return nil, err
		}
		template.URIs = []*url.URL{parsed}
	}
	return x509.CreateCertificate(rand.Reader, template, p.root, public, p.key)
}

// certificate is a key pair for a client or server in the test.
func (p *plane) certificate(t *testing.T, uri string, names ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := p.sign(&key.PublicKey, 2, uri, time.Hour, names...)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (p *plane) serving(t *testing.T) tls.Certificate { return p.certificate(t, "", "localhost") }

// CreateCertificate implements the certificate service.
func (p *plane) CreateCertificate(ctx context.Context, r *securityv1alpha1.IstioCertificateRequest) (*securityv1alpha1.IstioCertificateResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	if got := strings.Join(md.Get("authorization"), ","); got != "Bearer "+goodToken {
		return nil, status.Error(codes.Unauthenticated, "unknown token")
	}
	block, _ := pem.Decode([]byte(r.GetCsr()))
	if block == nil {
		return nil, status.Error(codes.InvalidArgument, "no PEM")
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	p.mu.Lock()
	p.signed++
	serial := int64(100 + p.signed)
	p.mu.Unlock()
	der, err := p.sign(csr.PublicKey, serial, identityURI, p.ttl)
	if err != nil {
		return nil, err
	}
	return &securityv1alpha1.IstioCertificateResponse{CertChain: []string{
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(p.rootPEM()),
	}}, nil
}

func (p *plane) callbacks() server.Callbacks {
	return server.CallbackFuncs{
		DeltaStreamOpenFunc: func(ctx context.Context, _ int64, _ string) error {
			remote, _ := peer.FromContext(ctx)
			info, ok := remote.AuthInfo.(credentials.TLSInfo)
			if !ok || len(info.State.VerifiedChains) == 0 {
				return errors.New("configuration is for proxies with a certificate")
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			p.streams++
			p.peers = append(p.peers, info.State.VerifiedChains[0][0].URIs[0].String())
			return nil
		},
		StreamDeltaRequestFunc: func(_ int64, r *discoveryv3.DeltaDiscoveryRequest) error {
			p.mu.Lock()
			defer p.mu.Unlock()
			if r.GetNode() != nil {
				p.nodes = append(p.nodes, r.GetNode())
			}
			if r.GetErrorDetail() != nil {
				p.refused = append(p.refused, r.GetErrorDetail().GetMessage())
			}
			return nil
		},
	}
}

// seen is a copy of what happened so far.
func (p *plane) seen() (signed, streams int, peers, refused []string, nodes []*corev3.Node) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.signed, p.streams, append([]string{}, p.peers...), append([]string{}, p.refused...), append([]*corev3.Node{}, p.nodes...)
}
