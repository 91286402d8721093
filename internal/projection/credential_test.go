// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// pair makes a certificate and its key, both PEM.
func pair(t *testing.T, key crypto.Signer, notAfter time.Time) (certificate, private []byte) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "shop"}, DNSNames: []string{"shop.example.com"},
		NotBefore: noon.Add(-48 * time.Hour), NotAfter: notAfter,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text})
}

func ecKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestSecretCA: what is wrong with a CA does not keep a certificate from being used,
// and the other way round.
func TestSecretCA(t *testing.T) {
	certificate, key := pair(t, ecKey(t), noon.Add(24*time.Hour))
	list := revocations(t)
	for _, c := range []struct {
		name        string
		data        map[string][]byte
		certificate bool
		ca, crl     bool
		invalidCA   string
		invalid     string
	}{
		{name: "CA only", data: map[string][]byte{"cacert": certificate}, ca: true},
		{name: "CA with a list", data: map[string][]byte{"ca.crt": certificate, "ca.crl": list}, ca: true, crl: true},
		{name: "older names", data: map[string][]byte{"cacert": certificate, "crl": list}, ca: true, crl: true},
		{name: "names of both kinds", data: map[string][]byte{"tls.crt": certificate, "tls.key": key, "cacert": certificate}, certificate: true, ca: true},
		{name: "bad CA", data: map[string][]byte{"tls.crt": certificate, "tls.key": key, "ca.crt": []byte("x")}, certificate: true, invalidCA: "no PEM certificate"},
		{name: "bad list", data: map[string][]byte{"ca.crt": certificate, "ca.crl": []byte("x")}, invalidCA: "no PEM list"},
		{name: "list without CA", data: map[string][]byte{"ca.crl": list}, invalidCA: "no CA"},
		{name: "bad key beside a good CA", data: map[string][]byte{"tls.crt": certificate, "tls.key": []byte("x"), "ca.crt": certificate}, ca: true, invalid: "cannot be used"},
	} {
		got := scope.Secret(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "gw", Name: "s"}, Data: c.data}, noon)
		if got == nil {
			t.Errorf("%s: nothing", c.name)
			continue
		}
		if len(got.Certificate) > 0 != c.certificate || len(got.CA) > 0 != c.ca || len(got.CRL) > 0 != c.crl {
			t.Errorf("%s: certificate %t, CA %t, list %t", c.name, len(got.Certificate) > 0, len(got.CA) > 0, len(got.CRL) > 0)
		}
		if !strings.Contains(got.InvalidCA, c.invalidCA) || (c.invalidCA == "") != (got.InvalidCA == "") ||
			!strings.Contains(got.Invalid, c.invalid) || (c.invalid == "") != (got.Invalid == "") {
			t.Errorf("%s: invalid %q, CA invalid %q", c.name, got.Invalid, got.InvalidCA)
		}
	}
}

// revocations is an empty list.
func revocations(t *testing.T) []byte {
	t.Helper()
	key := ecKey(t)
	issuer := &x509.Certificate{Subject: pkix.Name{CommonName: "ca"}, SubjectKeyId: []byte{1}, KeyUsage: x509.KeyUsageCRLSign}
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: noon, NextUpdate: noon.Add(time.Hour)}, issuer, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

func TestSecret(t *testing.T) {
	tomorrow := noon.Add(24 * time.Hour)
	certificate, key := pair(t, ecKey(t), tomorrow)
	otherCertificate, otherKey := pair(t, ecKey(t), tomorrow)
	expired, expiredKey := pair(t, ecKey(t), noon.Add(-time.Hour))
	t.Setenv("GODEBUG", "rsa1024min=0")
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	weak, weakKey := pair(t, small, tomorrow)
	type data = map[string][]byte
	for _, c := range []struct {
		name    string
		kind    corev1.SecretType
		data    data
		none    bool
		invalid string
		ca      bool
	}{
		{"tls", corev1.SecretTypeTLS, data{"tls.crt": certificate, "tls.key": key}, false, "", false},
		{"tls with CA", corev1.SecretTypeTLS, data{"tls.crt": certificate, "tls.key": key, "ca.crt": otherCertificate}, false, "", true},
		{"generic", corev1.SecretTypeOpaque, data{"tls.crt": certificate, "tls.key": key}, false, "", false},
		{"older names", corev1.SecretTypeOpaque, data{"cert": certificate, "key": key, "cacert": otherCertificate}, false, "", true},
		{"no TLS material", corev1.SecretTypeOpaque, data{"password": []byte("x")}, true, "", false},
		{"token", corev1.SecretTypeServiceAccountToken, data{"ca.crt": certificate}, true, "", false},
		{"mismatch", corev1.SecretTypeTLS, data{"tls.crt": certificate, "tls.key": otherKey}, false, "does not match", false},
		{"expired", corev1.SecretTypeTLS, data{"tls.crt": expired, "tls.key": expiredKey}, false, "", false},
		{"weak", corev1.SecretTypeTLS, data{"tls.crt": weak, "tls.key": weakKey}, false, "1024 bits", false},
		{"no key", corev1.SecretTypeTLS, data{"tls.crt": certificate}, false, "no key", false},
		{"no certificate", corev1.SecretTypeTLS, data{"tls.key": key}, false, "no certificate", false},
		{"nonsense", corev1.SecretTypeTLS, data{"tls.crt": []byte("x"), "tls.key": []byte("y")}, false, "cannot be used", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := scope.Secret(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "gw", Name: "s"}, Type: c.kind, Data: c.data}, noon)
			switch {
			case (got == nil) != c.none:
				t.Fatalf("got %+v", got)
			case c.none:
				return
			case c.invalid == "" && (got.Invalid != "" || len(got.Certificate) == 0 || len(got.PrivateKey) == 0):
				t.Fatalf("invalid: %q", got.Invalid)
			case c.invalid != "" && (!strings.Contains(got.Invalid, c.invalid) || len(got.Certificate)+len(got.PrivateKey)+len(got.CA) != 0):
				t.Fatalf("invalid %q lacks %q, or holds material", got.Invalid, c.invalid)
			}
			if strings.Contains(got.Expired, "expired at 2026-06-01T11:00:00Z") != (c.name == "expired") {
				t.Errorf("expired: %q", got.Expired)
			}
			if c.ca != (len(got.CA) > 0) {
				t.Errorf("CA of %d bytes", len(got.CA))
			}
			if text := fmt.Sprintf("%v %+v %#v", got, got, got); strings.Contains(text, "PRIVATE KEY") {
				t.Error("prints its key")
			}
		})
	}
}
