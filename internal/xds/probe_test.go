// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

func TestProbe(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"own.svc"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	serve := func(register func(*grpc.Server)) string {
		server := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})))
		register(server)
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = server.Serve(listener) }()
		t.Cleanup(server.Stop)
		return listener.Addr().String()
	}
	hub := func() *Hub {
		h, err := NewHub(Options{Classify: func(*core.Node, Peer) (string, error) { return "", nil }})
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	open, closed := hub(), hub()
	closed.Close()
	good, ending := serve(func(s *grpc.Server) { open.Register(s) }), serve(func(s *grpc.Server) { closed.Register(s) })
	for name, c := range map[string]struct {
		address, server string
		roots           *x509.CertPool
		want            string
	}{
		"answers":        {good, "own.svc", roots, ""},
		"another name":   {good, "other.svc", roots, "other.svc"},
		"another root":   {good, "own.svc", x509.NewCertPool(), "certificate"},
		"shuts down":     {ending, "own.svc", roots, "shutting down"},
		"nobody serves":  {serve(func(*grpc.Server) {}), "own.svc", roots, "Unimplemented"},
		"nobody listens": {"127.0.0.1:1", "own.svc", roots, "refused"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		err := Probe(ctx, c.address, &tls.Config{RootCAs: c.roots, ServerName: c.server})
		cancel()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	if got := open.Counts(); got != (Counts{}) {
		t.Errorf("a probe left %+v", got)
	}
}
