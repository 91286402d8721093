// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	securityv1alpha1 "istio.io/api/security/v1alpha1"
)

const (
	// signTimeout bounds one request, connecting included.
	signTimeout = 10 * time.Second
	// maxTokenBytes and maxRootBytes bound the mounted files.
	maxTokenBytes = 64 << 10
	maxRootBytes  = 1 << 20
)

// Signer turns a certificate signing request (PEM) into a certificate chain (PEM, leaf first).
type Signer interface {
	Sign(ctx context.Context, request []byte, ttl time.Duration) (chain []string, err error)
}

// ControlPlane is the Signer of the mesh: IstioCertificateService
// (https://github.com/istio/api/blob/master/security/v1alpha1/ca.proto) over TLS, authenticated by a service account token.
type ControlPlane struct {
	// Address is HOST:PORT; the server's certificate must carry HOST.
	Address string
	// TokenFile holds the projected service account token; it is read for each request because the kubelet renews it.
	TokenFile string
	// RootFile holds the roots that the server is verified against, read for each request too.
	RootFile string
}

// Sign implements Signer. A connection is made for each request: there are two a day.
func (c ControlPlane) Sign(ctx context.Context, request []byte, ttl time.Duration) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, signTimeout)
	defer cancel()
	transport, err := c.transport()
	if err != nil {
		return nil, err
	}
	token, err := readBounded(c.TokenFile, maxTokenBytes)
	if err != nil {
		return nil, fmt.Errorf("read the service account token: %w", err)
	}
	trimmed := strings.TrimSpace(string(token))
	if trimmed == "" {
		return nil, fmt.Errorf("service account token %s is empty", c.TokenFile)
	}
	conn, err := grpc.NewClient("dns:///"+c.Address, grpc.WithTransportCredentials(transport))
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", c.Address, err)
	}
	defer conn.Close()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+trimmed)
	response, err := securityv1alpha1.NewIstioCertificateServiceClient(conn).CreateCertificate(ctx,
		&securityv1alpha1.IstioCertificateRequest{Csr: string(request), ValidityDuration: int64(ttl / time.Second)},
		grpc.WaitForReady(false))
	if err != nil {
		return nil, fmt.Errorf("ask %s for a certificate: %w", c.Address, err)
	}
	return response.GetCertChain(), nil
}

func (c ControlPlane) transport() (credentials.TransportCredentials, error) {
	host, _, err := net.SplitHostPort(c.Address)
	if err != nil {
		return nil, fmt.Errorf("address of the control plane: %w", err)
	}
	roots, err := readBounded(c.RootFile, maxRootBytes)
	if err != nil {
		return nil, fmt.Errorf("read the mesh's root certificate: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(roots) {
		return nil, fmt.Errorf("%s holds no certificate", c.RootFile)
	}
	return credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool, ServerName: host}), nil
}

func readBounded(path string, limit int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	out, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(out)) > limit {
		return nil, errors.New(path + " is too large")
	}
	return out, nil
}
