// SPDX-License-Identifier: Apache-2.0

// Package secret serves the workload's certificate and the mesh's roots to the Envoy beside it: SDS over a Unix socket that
// only the proxy's user can open.
package secret

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secretv3 "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"github.com/go-logr/logr"
	"google.golang.org/grpc"

	"github.com/meshwright/meshwright/internal/agent/bootstrap"
	"github.com/meshwright/meshwright/internal/agent/identity"
)

const (
	msgServed  = "certificate given to the proxy"
	msgRefused = "the proxy refused a certificate"
)

// Server answers SDS for the names bootstrap.WorkloadSecret and bootstrap.RootSecret, state of the world and delta. Streams
// that open before the first Publish wait for it.
type Server struct {
	log   logr.Logger
	cache *cache.LinearCache
	first chan struct{}
	once  sync.Once
	// served is closed when the proxy was given the workload's certificate.
	served     chan struct{}
	servedOnce sync.Once
}

// NewServer makes a server without secrets.
func NewServer(log logr.Logger) *Server {
	return &Server{
		log: log, cache: cache.NewLinearCache(resource.SecretType), first: make(chan struct{}), served: make(chan struct{}),
	}
}

// Publish replaces both secrets at once and pushes them to open streams.
func (s *Server) Publish(m *identity.Material) error {
	err := s.cache.UpdateResources(map[string]types.Resource{
		bootstrap.WorkloadSecret: &tlsv3.Secret{Name: bootstrap.WorkloadSecret, Type: &tlsv3.Secret_TlsCertificate{
			TlsCertificate: &tlsv3.TlsCertificate{CertificateChain: inline(m.Chain), PrivateKey: inline(m.Key)},
		}},
		bootstrap.RootSecret: &tlsv3.Secret{Name: bootstrap.RootSecret, Type: &tlsv3.Secret_ValidationContext{
			ValidationContext: &tlsv3.CertificateValidationContext{TrustedCa: inline(m.Roots)},
		}},
	}, nil)
	if err != nil {
		return fmt.Errorf("publish the certificate to the proxy: %w", err)
	}
	s.once.Do(func() { close(s.first) })
	return nil
}

// Served is closed when the proxy was given its certificate for the first time.
func (s *Server) Served() <-chan struct{} { return s.served }

// Listen makes the socket. Its directory is made for this user alone, and a socket of an earlier process is replaced.
func Listen(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of the SDS socket: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove the old SDS socket: %w", err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen for SDS: %w", err)
	}
	// A mounted directory may be open to others; the socket is not.
	if err := os.Chmod(path, 0o600); err != nil {
		_ = listener.Close()
		return nil, fmt.Errorf("close the SDS socket to others: %w", err)
	}
	return listener, nil
}

// Serve answers on the listener until the context ends.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	g := grpc.NewServer()
	secretv3.RegisterSecretDiscoveryServiceServer(g, server.NewServer(ctx, s.cache, s.callbacks()))
	stop := context.AfterFunc(ctx, g.Stop)
	defer stop()
	if err := g.Serve(listener); err != nil {
		return fmt.Errorf("serve SDS: %w", err)
	}
	return nil
}

func (s *Server) callbacks() server.Callbacks {
	wait := func(ctx context.Context, _ int64, _ string) error {
		select {
		case <-s.first:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return server.CallbackFuncs{
		StreamOpenFunc:      wait,
		DeltaStreamOpenFunc: wait,
		StreamRequestFunc: func(_ int64, r *discoveryv3.DiscoveryRequest) error {
			s.acknowledged(r.GetResourceNames(), r.GetResponseNonce(), r.GetErrorDetail().GetMessage())
			return nil
		},
		StreamDeltaRequestFunc: func(_ int64, r *discoveryv3.DeltaDiscoveryRequest) error {
			s.acknowledged(r.GetResourceNamesSubscribe(), r.GetResponseNonce(), r.GetErrorDetail().GetMessage())
			return nil
		},
		StreamResponseFunc: func(_ context.Context, _ int64, r *discoveryv3.DiscoveryRequest, _ *discoveryv3.DiscoveryResponse) {
			s.gave(r.GetResourceNames())
		},
		StreamDeltaResponseFunc: func(_ int64, _ *discoveryv3.DeltaDiscoveryRequest, r *discoveryv3.DeltaDiscoveryResponse) {
			names := make([]string, 0, len(r.GetResources()))
			for _, given := range r.GetResources() {
				names = append(names, given.GetName())
			}
			s.gave(names)
		},
	}
}

func (s *Server) acknowledged(names []string, nonce, refused string) {
	if nonce != "" && refused != "" {
		s.log.Error(errors.New(refused), msgRefused, "names", names)
	}
}

func (s *Server) gave(names []string) {
	for _, name := range names {
		if name == bootstrap.WorkloadSecret {
			s.servedOnce.Do(func() {
				s.log.V(1).Info(msgServed)
				close(s.served)
			})
		}
	}
}

func inline(data []byte) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: data}}
}
