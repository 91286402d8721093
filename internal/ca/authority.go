// SPDX-License-Identifier: Apache-2.0

package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"
)

// Bounds of a workload certificate's life.
const (
	DefaultTTL = 24 * time.Hour
	MinTTL     = 10 * time.Minute
	MaxTTL     = 7 * 24 * time.Hour
)

// maxRequestBytes bounds a PEM certificate request; one with a 4096-bit RSA key takes about 2 KiB.
const maxRequestBytes = 16 << 10

// ErrRequest marks a certificate request that is wrong in itself: sending it again cannot help.
var ErrRequest = errors.New("bad certificate request")

// Authority signs with one bundle. It is safe for concurrent use.
type Authority struct {
	bundle *Bundle
	ttl    time.Duration
	now    func() time.Time
}

// NewAuthority signs workload certificates that live for ttl, which must be between MinTTL and MaxTTL; zero means
// DefaultTTL. A nil now is the machine's clock.
func NewAuthority(bundle *Bundle, ttl time.Duration, now func() time.Time) (*Authority, error) {
	if ttl == 0 {
		ttl = DefaultTTL
	}
	if ttl < MinTTL || ttl > MaxTTL {
		return nil, fmt.Errorf("certificate lifetime %s is not between %s and %s", ttl, MinTTL, MaxTTL)
	}
	if now == nil {
		now = time.Now
	}
	return &Authority{bundle: bundle, ttl: ttl, now: now}, nil
}

// Bundle is what the authority signs with.
func (a *Authority) Bundle() *Bundle { return a.bundle }

// Sign answers a PEM certificate request with a certificate for the identity, PEM, followed by the certificates above
// it; the last entry holds the roots. A requested life shorter than the authority's is granted, down to MinTTL; zero or
// a longer one gets the authority's. Subject, names and extensions of the request are ignored. An error that wraps
// ErrRequest is the caller's fault.
func (a *Authority) Sign(request []byte, id Identity, want time.Duration) ([]string, error) {
	public, err := parseRequest(request)
	if err != nil {
		return nil, err
	}
	life := a.ttl
	if want > 0 && want < life {
		life = max(want, MinTTL)
	}
	der, err := a.issue(public, &x509.Certificate{URIs: []*url.URL{id.URL()}}, life)
	if err != nil {
		return nil, fmt.Errorf("sign for %s: %w", id, err)
	}
	return append([]string{string(encodePEM("CERTIFICATE", der))}, a.bundle.chainPEM()...), nil
}

// issue completes the template, which carries only names, and signs it.
func (a *Authority) issue(public crypto.PublicKey, template *x509.Certificate, life time.Duration) ([]byte, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	now := a.now()
	if !now.Before(a.bundle.NotAfter()) {
		return nil, fmt.Errorf("the certificate authority ended at %s; replace Secret %s", a.bundle.NotAfter().UTC().Format(time.RFC3339), SecretName)
	}
	template.SerialNumber = serial
	template.NotBefore = later(now.Add(-backdate), a.bundle.certificate.NotBefore)
	template.NotAfter = earlier(now.Add(life), a.bundle.NotAfter())
	template.KeyUsage = x509.KeyUsageDigitalSignature
	if _, ok := public.(*rsa.PublicKey); ok {
		template.KeyUsage |= x509.KeyUsageKeyEncipherment
	}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	template.BasicConstraintsValid = true
	return x509.CreateCertificate(rand.Reader, template, a.bundle.certificate, public, a.bundle.key)
}

// parseRequest returns the public key of a request whose signature proves that the sender holds its private key.
func parseRequest(request []byte) (crypto.PublicKey, error) {
	if len(request) > maxRequestBytes {
		return nil, fmt.Errorf("%w: %d bytes are more than the %d allowed", ErrRequest, len(request), maxRequestBytes)
	}
	block, _ := pem.Decode(request)
	if block == nil || (block.Type != "CERTIFICATE REQUEST" && block.Type != "NEW CERTIFICATE REQUEST") {
		return nil, fmt.Errorf("%w: not a PEM block of type CERTIFICATE REQUEST", ErrRequest)
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	// The key is judged before the signature, so that a giant key cannot make us compute with it.
	if err := checkKey(csr.PublicKey); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("%w: the signature is not by the key in it: %w", ErrRequest, err)
	}
	return csr.PublicKey, nil
}

func checkKey(public crypto.PublicKey) error {
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() || key.Curve == elliptic.P384() {
			return nil
		}
		return fmt.Errorf("elliptic curve %s is neither P-256 nor P-384", key.Curve.Params().Name)
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < 2048 || bits > 4096 {
			return fmt.Errorf("an RSA key of %d bits is not between 2048 and 4096", bits)
		}
		return nil
	default:
		return errors.New("the key is neither ECDSA nor RSA")
	}
}

// serverNames splits names into DNS names and IP addresses.
func serverNames(names []string) *x509.Certificate {
	template := &x509.Certificate{}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	return template
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
