// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"os"
	"testing"
)

func open(t *testing.T, dir string) *Authority {
	t.Helper()
	a, err := Open(dir, "test")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestCertificatesVerify(t *testing.T) {
	a := open(t, t.TempDir())
	id := Identity{Name: "kube-apiserver", DNS: []string{"kubernetes"}, IPs: []netip.Addr{netip.MustParseAddr("10.1.0.1")}}
	if err := a.Ensure("server", id); err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(a.CertFile("server"), a.KeyFile("server"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(a.CertPEM()) {
		t.Fatal("the authority's certificate cannot be read")
	}
	for _, name := range []string{"kubernetes", "10.1.0.1"} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: "10.1.0.2", Roots: roots}); err == nil {
		t.Error("a name that the certificate lacks was accepted")
	}
	info, err := os.Stat(a.KeyFile("server"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's mode is %v (%v), want 0600", info.Mode(), err)
	}
}

func TestCertificatesAreKeptAndRenewed(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir)
	id := Identity{Name: "admin", Groups: []string{"system:masters"}}
	read := func() []byte {
		t.Helper()
		text, err := os.ReadFile(a.CertFile("admin"))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	ensure := func(a *Authority, id Identity) []byte {
		t.Helper()
		if err := a.Ensure("admin", id); err != nil {
			t.Fatal(err)
		}
		return read()
	}
	first := ensure(a, id)
	if !bytes.Equal(first, ensure(open(t, dir), id)) {
		t.Error("the same identity got another certificate")
	}
	other := id
	other.IPs = []netip.Addr{netip.MustParseAddr("10.1.0.1")}
	if bytes.Equal(first, ensure(a, other)) {
		t.Error("another identity kept the certificate")
	}
	if err := os.Remove(a.CertFile("ca")); err != nil {
		t.Fatal(err)
	}
	before := read()
	if bytes.Equal(before, ensure(open(t, dir), other)) {
		t.Error("a certificate of a lost authority was kept")
	}
}

func TestSigningKeyIsKept(t *testing.T) {
	a := open(t, t.TempDir())
	read := func() string {
		t.Helper()
		if err := a.EnsureSigningKey("sa"); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(a.KeyFile("sa"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if first, second := read(), read(); first != second {
		t.Error("the signing key changed: every token would be void")
	}
}
