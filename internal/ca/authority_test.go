// SPDX-License-Identifier: Apache-2.0

package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	start  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	caller = Identity{TrustDomain: "cluster.local", Namespace: "app", ServiceAccount: "web"}
)

// clock is a settable time.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newTestAuthority(t *testing.T, ttl time.Duration) (*Authority, *clock) {
	t.Helper()
	c := &clock{start}
	bundle, err := NewBundle("cluster.local", start)
	if err != nil {
		t.Fatal(err)
	}
	a, err := NewAuthority(bundle, ttl, c.now)
	if err != nil {
		t.Fatal(err)
	}
	return a, c
}

func request(t *testing.T, key crypto.Signer, template *x509.CertificateRequest) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		t.Fatal(err)
	}
	return encodePEM("CERTIFICATE REQUEST", der)
}

func ecKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func leafOf(t *testing.T, chain []string) *x509.Certificate {
	t.Helper()
	block, rest := pem.Decode([]byte(chain[0]))
	if block == nil || len(strings.TrimSpace(string(rest))) > 0 {
		t.Fatalf("the first entry is not one certificate: %s", chain[0])
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

func TestSignNamesOnlyTheCaller(t *testing.T) {
	a, _ := newTestAuthority(t, 0)
	other, _ := url.Parse("spiffe://cluster.local/ns/kube-system/sa/admin")
	key := ecKey(t, elliptic.P256())
	chain, err := a.Sign(request(t, key, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "admin", Organization: []string{"system:masters"}}, URIs: []*url.URL{other},
		DNSNames: []string{"kubernetes.default.svc"}, ExtraExtensions: []pkix.Extension{{Id: []int{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 0x03, 0x01, 0x01, 0xff}}},
	}), caller, 0)
	if err != nil {
		t.Fatal(err)
	}
	leaf := leafOf(t, chain)
	if len(leaf.URIs) != 1 || leaf.URIs[0].String() != "spiffe://cluster.local/ns/app/sa/web" {
		t.Errorf("URI names %v", leaf.URIs)
	}
	if len(leaf.DNSNames)+len(leaf.IPAddresses)+len(leaf.EmailAddresses) > 0 || leaf.Subject.String() != "" || leaf.IsCA {
		t.Errorf("the request's names got in: %v %v CA=%v", leaf.DNSNames, leaf.Subject, leaf.IsCA)
	}
	if !key.PublicKey.Equal(leaf.PublicKey) {
		t.Error("the certificate is for another key")
	}
	if got := chain[len(chain)-1]; got != string(a.Bundle().RootPEM()) || len(chain) != 2 {
		t.Errorf("the chain has %d entries and ends in %s", len(chain), got)
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: a.Bundle().Pool(), CurrentTime: start, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			t.Errorf("usage %v: %v", usage, err)
		}
	}
	id, err := CertificateIdentity(leaf)
	if err != nil || id != caller {
		t.Errorf("read back %v, %v", id, err)
	}
}

func TestSignLife(t *testing.T) {
	a, c := newTestAuthority(t, 24*time.Hour)
	csr := request(t, ecKey(t, elliptic.P256()), &x509.CertificateRequest{})
	for _, x := range []struct{ want, got time.Duration }{
		{0, 24 * time.Hour}, {time.Hour, time.Hour}, {time.Second, MinTTL}, {1000 * time.Hour, 24 * time.Hour},
	} {
		chain, err := a.Sign(csr, caller, x.want)
		if err != nil {
			t.Fatal(err)
		}
		leaf := leafOf(t, chain)
		if life := leaf.NotAfter.Sub(start); life != x.got {
			t.Errorf("asked for %s, got %s", x.want, life)
		}
		if !leaf.NotBefore.Equal(start.Add(-2 * time.Minute)) {
			t.Errorf("starts at %s", leaf.NotBefore)
		}
	}
	c.at = a.Bundle().NotAfter().Add(-time.Hour)
	chain, err := a.Sign(csr, caller, 0)
	if err != nil {
		t.Fatal(err)
	}
	if leaf := leafOf(t, chain); leaf.NotAfter.After(a.Bundle().NotAfter()) {
		t.Errorf("the certificate ends at %s, after its authority", leaf.NotAfter)
	}
	c.at = a.Bundle().NotAfter()
	if _, err := a.Sign(csr, caller, 0); err == nil || errors.Is(err, ErrRequest) {
		t.Errorf("an authority that has ended gives %v", err)
	}
}

func TestSignRefuses(t *testing.T) {
	a, _ := newTestAuthority(t, 0)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := request(t, ecKey(t, elliptic.P256()), &x509.CertificateRequest{})
	forged := slices.Clone(good)
	block, _ := pem.Decode(forged)
	block.Bytes[len(block.Bytes)-3] ^= 1
	for name, csr := range map[string][]byte{
		"nothing":       nil,
		"not PEM":       []byte("hello"),
		"a certificate": a.Bundle().RootPEM(),
		"not DER":       encodePEM("CERTIFICATE REQUEST", []byte("x")),
		"too large":     append(slices.Clone(good), make([]byte, maxRequestBytes)...),
		"RSA 1024":      request(t, small, &x509.CertificateRequest{}),
		"P-224":         request(t, ecKey(t, elliptic.P224()), &x509.CertificateRequest{}),
		"ed25519":       request(t, edwards, &x509.CertificateRequest{}),
		"forged":        pem.EncodeToMemory(block),
	} {
		if _, err := a.Sign(csr, caller, 0); !errors.Is(err, ErrRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := a.Sign(request(t, ecKey(t, elliptic.P384()), &x509.CertificateRequest{}), caller, 0); err != nil {
		t.Errorf("P-384: %v", err)
	}
}

func TestNewAuthorityBoundsLife(t *testing.T) {
	bundle, err := NewBundle("cluster.local", start)
	if err != nil {
		t.Fatal(err)
	}
	for _, ttl := range []time.Duration{time.Second, MaxTTL + 1, -1} {
		if _, err := NewAuthority(bundle, ttl, nil); err == nil {
			t.Errorf("accepted %s", ttl)
		}
	}
}

func TestServingRotatesAtHalfLife(t *testing.T) {
	a, c := newTestAuthority(t, 0)
	s := NewServing(a, "meshwright.istio-system.svc", "127.0.0.1")
	first, err := s.Certificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Leaf.VerifyHostname("meshwright.istio-system.svc"); err != nil {
		t.Error(err)
	}
	if err := first.Leaf.VerifyHostname("127.0.0.1"); err != nil {
		t.Error(err)
	}
	c.at = start.Add(servingLife/2 - time.Minute)
	if again, _ := s.Certificate(nil); again != first {
		t.Error("renewed before half life")
	}
	c.at = start.Add(servingLife/2 + time.Minute)
	second, err := s.Certificate(nil)
	if err != nil || second == first {
		t.Errorf("not renewed after half life: %v", err)
	}
	if second.Leaf.NotAfter.Sub(c.at) != servingLife {
		t.Errorf("the new one ends at %s", second.Leaf.NotAfter)
	}
}

func TestIdentityRoundTrip(t *testing.T) {
	got, err := ParseIdentity(caller.URL())
	if err != nil || got != caller {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{
		"https://cluster.local/ns/a/sa/b", "spiffe:///ns/a/sa/b", "spiffe://td/ns/a/sa/", "spiffe://td/ns//sa/b", "spiffe://td/ns/a/sa/b/c",
		"spiffe://td/ns/a%2Fx/sa/b", "spiffe://td:1/ns/a/sa/b", "spiffe://u@td/ns/a/sa/b", "spiffe://td/ns/a/sa/b?x=1", "spiffe://td/sa/a/ns/b",
	} {
		u, err := url.Parse(bad)
		if err != nil {
			t.Fatal(err)
		}
		if id, err := ParseIdentity(u); err == nil {
			t.Errorf("%s was read as %v", bad, id)
		}
	}
}

func FuzzSign(f *testing.F) {
	bundle, err := NewBundle("cluster.local", start)
	if err != nil {
		f.Fatal(err)
	}
	a, err := NewAuthority(bundle, 0, nil)
	if err != nil {
		f.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(encodePEM("CERTIFICATE REQUEST", der))
	f.Add(bundle.RootPEM())
	f.Fuzz(func(t *testing.T, csr []byte) {
		chain, err := a.Sign(csr, caller, 0)
		if err != nil {
			return
		}
		if leaf := leafOf(t, chain); leaf.IsCA || len(leaf.URIs) != 1 || leaf.URIs[0].String() != caller.String() {
			t.Errorf("signed %v", leaf.URIs)
		}
	})
}
