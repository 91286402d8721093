// SPDX-License-Identifier: Apache-2.0

// Package identity obtains and renews the workload's certificate. The private key is made in memory for each certificate
// and leaves the process only towards Envoy, over the agent's Unix socket.
package identity

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// maxCertificates bounds a chain or a root bundle: real ones have a handful.
const maxCertificates = 64

// Material is one certificate with everything that Envoy needs to use it. It is immutable.
type Material struct {
	// Key is the private key, PEM-encoded PKCS #8.
	Key []byte
	// Chain is the leaf and the intermediates, PEM-encoded, leaf first, without the root.
	Chain []byte
	// Roots are what peers are verified against, PEM-encoded: the mounted bundle, then those that came with the certificate.
	Roots []byte
	// ID is the SPIFFE id in the leaf.
	ID string
	// NotAfter is when the leaf expires.
	NotAfter time.Time

	leaf     *x509.Certificate
	received []*x509.Certificate
}

// newKey makes a key pair and its certificate signing request. The request names nothing: the control plane puts in the
// identity that the token proves, whatever a request asks for.
func newKey() (key *ecdsa.PrivateKey, request []byte, err error) {
	key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a private key: %w", err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, nil, fmt.Errorf("make a certificate signing request: %w", err)
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), nil
}

// newMaterial checks what the control plane answered: the leaf is for our key, is valid now, carries one SPIFFE id, and
// leads to a root. file is the mounted root bundle.
func newMaterial(key *ecdsa.PrivateKey, answer []string, file []byte, now time.Time) (*Material, error) {
	var joined bytes.Buffer
	for _, part := range answer {
		joined.WriteString(part)
		joined.WriteByte('\n')
	}
	certificates, err := parseCertificates(joined.Bytes())
	if err != nil {
		return nil, fmt.Errorf("certificate chain: %w", err)
	}
	if len(certificates) == 0 {
		return nil, errors.New("the answer holds no certificate")
	}
	leaf := certificates[0]
	if public, ok := leaf.PublicKey.(*ecdsa.PublicKey); !ok || !public.Equal(&key.PublicKey) {
		return nil, errors.New("the certificate is not for the key that was sent")
	}
	if len(leaf.URIs) != 1 || leaf.URIs[0].Scheme != "spiffe" {
		return nil, fmt.Errorf("the certificate carries %d URI names, needs exactly one SPIFFE id", len(leaf.URIs))
	}
	if !now.Before(leaf.NotAfter) {
		return nil, fmt.Errorf("the certificate expired at %s: are the clocks of this node and the control plane's in step?", leaf.NotAfter.Format(time.RFC3339))
	}
	encodedKey, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode the private key: %w", err)
	}
	m := &Material{
		Key:      pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encodedKey}),
		ID:       leaf.URIs[0].String(),
		NotAfter: leaf.NotAfter,
		leaf:     leaf,
	}
	intermediates := x509.NewCertPool()
	chain := encode(nil, leaf)
	for _, c := range certificates[1:] {
		if isRoot(c) {
			m.received = append(m.received, c)
			continue
		}
		intermediates.AddCert(c)
		chain = encode(chain, c)
	}
	m.Chain = chain
	return m, m.verify(file, intermediates, now)
}

// verify fills in the roots and checks that the chain leads to one of them.
func (m *Material) verify(file []byte, intermediates *x509.CertPool, now time.Time) error {
	roots, pool, err := m.union(file)
	if err != nil {
		return err
	}
	m.Roots = roots
	_, err = m.leaf.Verify(x509.VerifyOptions{
		Roots: pool, Intermediates: intermediates, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return fmt.Errorf("the certificate does not lead to a root of the mesh: %w", err)
	}
	return nil
}

// withRoots is the material with another mounted bundle.
func (m *Material) withRoots(file []byte) (*Material, error) {
	roots, _, err := m.union(file)
	if err != nil {
		return nil, err
	}
	next := *m
	next.Roots = roots
	return &next, nil
}

// union puts the mounted roots and the received ones together, without duplicates. Both are needed while a root is being
// replaced: peers with a certificate of either one must be understood.
func (m *Material) union(file []byte) ([]byte, *x509.CertPool, error) {
	mounted, err := parseCertificates(file)
	if err != nil {
		return nil, nil, fmt.Errorf("mounted roots: %w", err)
	}
	pool := x509.NewCertPool()
	var out []byte
	seen := map[string]bool{}
	for _, c := range append(mounted, m.received...) {
		if seen[string(c.Raw)] {
			continue
		}
		seen[string(c.Raw)] = true
		pool.AddCert(c)
		out = encode(out, c)
	}
	if len(out) == 0 {
		return nil, nil, errors.New("there is no root certificate")
	}
	return out, pool, nil
}

func isRoot(c *x509.Certificate) bool {
	return c.IsCA && bytes.Equal(c.RawIssuer, c.RawSubject) && c.CheckSignatureFrom(c) == nil
}

func encode(out []byte, c *x509.Certificate) []byte {
	return append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
}

func parseCertificates(text []byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return out, nil
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		if len(out) == maxCertificates {
			return nil, fmt.Errorf("more than %d certificates", maxCertificates)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
}
