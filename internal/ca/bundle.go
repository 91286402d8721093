// SPDX-License-Identifier: Apache-2.0

package ca

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// Keys of a Secret that holds a certificate authority. KeyChain is only in Secrets with intermediate certificates.
const (
	KeyCertificate = "ca-cert.pem"
	KeyPrivate     = "ca-key.pem"
	KeyChain       = "cert-chain.pem"
	KeyRoot        = "root-cert.pem"
)

const (
	// rootLife is how long a self-signed root is valid.
	rootLife = 10 * 365 * 24 * time.Hour
	// backdate lets machines whose clocks are a little behind accept a fresh certificate.
	backdate = 2 * time.Minute
	// maxBundleBytes bounds each entry of the Secret; a chain of a dozen certificates is far below it.
	maxBundleBytes = 128 << 10
)

// Bundle is a certificate authority at rest: the signing certificate with its key, the certificates between it and the
// root (none when it is the root itself), and the roots that verifiers trust. It is immutable.
type Bundle struct {
	certificate *x509.Certificate
	key         crypto.Signer
	chain       []*x509.Certificate
	roots       []*x509.Certificate
	data        map[string][]byte
}

// NewBundle makes a self-signed ECDSA P-256 root for the trust domain, valid from a little before now for ten years.
func NewBundle(trustDomain string, now time.Time) (*Bundle, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate the root's key: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		// The organisation tells operators apart which mesh a root belongs to; nothing is matched against it.
		Subject:               pkix.Name{Organization: []string{trustDomain}, CommonName: "Meshwright Root CA"},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(rootLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign the root: %w", err)
	}
	rawKey, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode the root's key: %w", err)
	}
	cert := encodePEM("CERTIFICATE", der)
	return ParseBundle(map[string][]byte{
		KeyCertificate: cert,
		KeyPrivate:     encodePEM("PRIVATE KEY", rawKey),
		KeyRoot:        cert,
	})
}

// ParseBundle reads the data of a Secret. It checks that the key belongs to the certificate, that the certificate may
// sign, and that it chains to a root. No error repeats any of the data.
func ParseBundle(data map[string][]byte) (*Bundle, error) {
	own, err := parseCertificates(KeyCertificate, data[KeyCertificate])
	if err != nil {
		return nil, err
	}
	roots, err := parseCertificates(KeyRoot, data[KeyRoot])
	if err != nil {
		return nil, err
	}
	var chain []*x509.Certificate
	if len(data[KeyChain]) > 0 {
		if chain, err = parseCertificates(KeyChain, data[KeyChain]); err != nil {
			return nil, err
		}
	}
	key, err := parseKey(data[KeyPrivate])
	if err != nil {
		return nil, err
	}
	b := &Bundle{certificate: own[0], key: key, chain: withoutRoots(own[0], append(own[1:], chain...), roots), roots: roots, data: cloneData(data)}
	return b, b.check()
}

func (b *Bundle) check() error {
	if !b.certificate.IsCA || b.certificate.KeyUsage&x509.KeyUsageCertSign == 0 {
		return fmt.Errorf("%s is not a certificate that may sign others", KeyCertificate)
	}
	public, ok := b.certificate.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(b.key.Public()) {
		return fmt.Errorf("%s does not belong to %s", KeyPrivate, KeyCertificate)
	}
	between := x509.NewCertPool()
	for _, c := range b.chain {
		between.AddCert(c)
	}
	// Verified at the certificate's own start: whether it is still valid is judged when it signs.
	_, err := b.certificate.Verify(x509.VerifyOptions{
		Roots: b.Pool(), Intermediates: between, CurrentTime: b.certificate.NotBefore.Add(time.Second),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return fmt.Errorf("%s does not chain to %s: %w", KeyCertificate, KeyRoot, err)
	}
	return nil
}

// Pool holds the roots that verifiers trust.
func (b *Bundle) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	for _, c := range b.roots {
		pool.AddCert(c)
	}
	return pool
}

// RootPEM holds the roots, as they are given to workloads and to the API server.
func (b *Bundle) RootPEM() []byte {
	var out []byte
	for _, c := range b.roots {
		out = append(out, encodePEM("CERTIFICATE", c.Raw)...)
	}
	return out
}

// NotAfter is when the signing certificate ends.
func (b *Bundle) NotAfter() time.Time { return b.certificate.NotAfter }

// secretData is what the Secret holds, key included.
func (b *Bundle) secretData() map[string][]byte { return cloneData(b.data) }

// chainPEM is what follows a leaf: the signing certificate and the ones above it when they are not roots, then the root.
func (b *Bundle) chainPEM() []string {
	var out []string
	for _, c := range b.between() {
		out = append(out, string(encodePEM("CERTIFICATE", c.Raw)))
	}
	return append(out, string(b.RootPEM()))
}

// between lists the certificates from the signing one up to, but without, the root.
func (b *Bundle) between() []*x509.Certificate {
	return withoutRoots(nil, append([]*x509.Certificate{b.certificate}, b.chain...), b.roots)
}

func withoutRoots(except *x509.Certificate, from, roots []*x509.Certificate) []*x509.Certificate {
	var out []*x509.Certificate
	for _, c := range from {
		skip := except != nil && c.Equal(except)
		for _, root := range roots {
			skip = skip || c.Equal(root)
		}
		if !skip {
			out = append(out, c)
		}
	}
	return out
}

func parseCertificates(name string, data []byte) ([]*x509.Certificate, error) {
	if len(data) == 0 {
		return nil, fmt.Errorf("%s is missing or empty", name)
	}
	if len(data) > maxBundleBytes {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, maxBundleBytes)
	}
	var out []*x509.Certificate
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%s has a PEM block that is not a certificate", name)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s holds no PEM certificate", name)
	}
	return out, nil
}

// parseKey accepts PKCS #8, SEC 1 and PKCS #1, which is what openssl and other tools write.
func parseKey(data []byte) (crypto.Signer, error) {
	if len(data) == 0 || len(data) > maxBundleBytes {
		return nil, fmt.Errorf("%s is missing, empty or too large", KeyPrivate)
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM key", KeyPrivate)
	}
	var key any
	var err error
	switch block.Type {
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read as PKCS #8, SEC 1 or PKCS #1", KeyPrivate)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s cannot sign", KeyPrivate)
	}
	return signer, nil
}

// Same reports whether both hold the same roots and signing certificate.
func (b *Bundle) Same(other *Bundle) bool {
	return b.certificate.Equal(other.certificate) && bytes.Equal(b.RootPEM(), other.RootPEM())
}

func newSerial() (*big.Int, error) {
	// 20 octets at most, positive, unpredictable: RFC 5280 section 4.1.2.2.
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 128))
	if err != nil {
		return nil, fmt.Errorf("choose a serial number: %w", err)
	}
	if serial.Sign() == 0 {
		return nil, errors.New("choose a serial number: the random source gave zero")
	}
	return serial, nil
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func cloneData(data map[string][]byte) map[string][]byte {
	out := make(map[string][]byte, len(data))
	for k, v := range data {
		out[k] = bytes.Clone(v)
	}
	return out
}
