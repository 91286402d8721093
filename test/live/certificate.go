// SPDX-License-Identifier: Apache-2.0

//go:build linux

package live

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshwright/meshwright/internal/ca"
)

// Authority signs certificates of servers and clients outside the mesh.
type Authority struct {
	t           testing.TB
	certificate *x509.Certificate
	key         crypto.Signer
}

var serial atomic.Int64

// NewAuthority is a root of its own.
func NewAuthority(t testing.TB, name string) *Authority {
	t.Helper()
	key := newKey(t, false)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial.Add(1)), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &Authority{t, certificate, key}
}

// PEM is the root's certificate.
func (a *Authority) PEM() []byte { return encode("CERTIFICATE", a.certificate.Raw) }

// Pool trusts the root.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

// Leaf is a certificate to be.
type Leaf struct {
	DNS []string
	URI string
	RSA bool // an RSA key; else an elliptic curve

	Expired bool
}

// Pair is a certificate and its key, in PEM.
type Pair struct {
	Certificate, Key []byte
	Leaf             *x509.Certificate
}

// TLS is the pair as Go's TLS takes it.
func (p Pair) TLS() []tls.Certificate {
	out, err := tls.X509KeyPair(p.Certificate, p.Key)
	if err != nil {
		return nil
	}
	return []tls.Certificate{out}
}

// Secret is the data of a Secret with the pair.
func (p Pair) Secret() map[string][]byte {
	return map[string][]byte{"tls.crt": p.Certificate, "tls.key": p.Key}
}

// Issue signs a certificate.
func (a *Authority) Issue(l Leaf) Pair {
	a.t.Helper()
	key := newKey(a.t, l.RSA)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial.Add(1)), DNSNames: l.DNS,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if l.Expired {
		template.NotAfter = time.Now().Add(-time.Minute)
	}
	if l.URI != "" {
		u, err := url.Parse(l.URI)
		if err != nil {
			a.t.Fatal(err)
		}
		template.URIs = []*url.URL{u}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return Pair{encode("CERTIFICATE", der), encodeKey(a.t, key), leaf}
}

// Revoke is a revocation list with some certificates of the authority.
func (a *Authority) Revoke(pairs ...Pair) []byte {
	a.t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(serial.Add(1)), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour)}
	for _, p := range pairs {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: p.Leaf.SerialNumber, RevocationTime: time.Now().Add(-time.Minute),
		})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.certificate, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return encode("X509 CRL", der)
}

// Identity is a certificate of the mesh for a service account.
func (w *World) Identity(namespace, account string) Pair {
	w.t.Helper()
	key := newKey(w.t, false)
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	w.must(err)
	answer, err := w.authority.Sign(encode("CERTIFICATE REQUEST", request),
		ca.Identity{TrustDomain: trustDomain, Namespace: namespace, ServiceAccount: account}, 0)
	w.must(err)
	chain := []byte(answer[0])
	for _, part := range answer[1 : len(answer)-1] {
		chain = append(chain, part...)
	}
	return Pair{Certificate: chain, Key: encodeKey(w.t, key)}
}

func newKey(t testing.TB, rsaKey bool) crypto.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	if rsaKey {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func encodeKey(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return encode("PRIVATE KEY", der)
}

// files are a pair in the file system, which proxies read as another user.
func (w *World) files(p Pair) (certificate, key string) {
	w.t.Helper()
	dir, err := os.MkdirTemp(w.dir, "pair")
	w.must(err)
	w.must(os.Chmod(dir, 0o755))
	secret := p.Secret()
	var out []string
	for _, name := range []string{"tls.crt", "tls.key"} {
		out = append(out, filepath.Join(dir, name))
		w.must(os.WriteFile(out[len(out)-1], secret[name], 0o644))
	}
	return out[0], out[1]
}
