// SPDX-License-Identifier: Apache-2.0

package ca

import (
	"context"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

func TestBundleRoundTrip(t *testing.T) {
	made, err := NewBundle("cluster.local", start)
	if err != nil {
		t.Fatal(err)
	}
	if life := made.NotAfter().Sub(start); life != rootLife {
		t.Errorf("the root lives %s", life)
	}
	read, err := ParseBundle(made.secretData())
	if err != nil || !read.Same(made) {
		t.Errorf("read back %v", err)
	}
	other, err := NewBundle("cluster.local", start)
	if err != nil {
		t.Fatal(err)
	}
	if other.Same(made) {
		t.Error("two roots count as one")
	}
}

func TestParseBundleRefuses(t *testing.T) {
	a, err := NewBundle("cluster.local", start)
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewBundle("cluster.local", start)
	if err != nil {
		t.Fatal(err)
	}
	authority, err := NewAuthority(a, 0, (&clock{start}).now)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := authority.Sign(request(t, ecKey(t, elliptic.P256()), &x509.CertificateRequest{}), caller, 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(map[string][]byte){
		"no certificate":  func(d map[string][]byte) { delete(d, KeyCertificate) },
		"no key":          func(d map[string][]byte) { delete(d, KeyPrivate) },
		"no root":         func(d map[string][]byte) { d[KeyRoot] = nil },
		"garbage":         func(d map[string][]byte) { d[KeyCertificate] = []byte("x") },
		"garbage key":     func(d map[string][]byte) { d[KeyPrivate] = encodePEM("PRIVATE KEY", []byte("s3cret")) },
		"another's key":   func(d map[string][]byte) { d[KeyPrivate] = b.data[KeyPrivate] },
		"another root":    func(d map[string][]byte) { d[KeyRoot] = b.data[KeyRoot] },
		"a leaf":          func(d map[string][]byte) { d[KeyCertificate] = []byte(chain[0]) },
		"key in the root": func(d map[string][]byte) { d[KeyRoot] = d[KeyPrivate] },
	} {
		data := a.secretData()
		change(data)
		if _, err := ParseBundle(data); err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "BEGIN") {
			t.Errorf("%s: the error repeats the data: %v", name, err)
		}
	}
}

// TestIntermediate signs with a certificate below the root, the shape of an authority that is plugged in.
func TestIntermediate(t *testing.T) {
	root, err := NewBundle("cluster.local", start)
	if err != nil {
		t.Fatal(err)
	}
	key := ecKey(t, elliptic.P384())
	template := &x509.Certificate{
		SerialNumber: root.certificate.SerialNumber, Subject: pkix.Name{CommonName: "intermediate"}, NotBefore: start, NotAfter: start.Add(time.Hour * 1000),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, root.certificate, key.Public(), root.key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := encodePEM("CERTIFICATE", der)
	b, err := ParseBundle(map[string][]byte{
		KeyCertificate: cert, KeyPrivate: encodePEM("EC PRIVATE KEY", raw), KeyRoot: root.RootPEM(), KeyChain: append(cert, root.RootPEM()...),
	})
	if err != nil {
		t.Fatal(err)
	}
	a, err := NewAuthority(b, 0, (&clock{start.Add(time.Hour)}).now)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := a.Sign(request(t, ecKey(t, elliptic.P256()), &x509.CertificateRequest{}), caller, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(chain) != 3 || chain[1] != string(cert) || chain[2] != string(root.RootPEM()) {
		t.Errorf("the chain is %q", chain)
	}
	serving, err := NewServing(a, "x").Certificate(nil)
	if err != nil || len(serving.Certificate) != 2 {
		t.Errorf("a server would send %d certificates, %v", len(serving.Certificate), err)
	}
}

func TestEnsureAgreesOnOneRoot(t *testing.T) {
	store := Store{Client: fake.NewClientBuilder().Build(), Namespace: "istio-system"}
	const replicas = 8
	var found [replicas]*Bundle
	var wait sync.WaitGroup
	for i := range replicas {
		wait.Go(func() {
			var err error
			if found[i], err = store.Ensure(context.Background(), "cluster.local", start); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	for _, b := range found[1:] {
		if b == nil || !b.Same(found[0]) {
			t.Fatal("replicas have different roots")
		}
	}
}

func TestEnsureNeverOverwrites(t *testing.T) {
	broken := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "istio-system", Name: SecretName}, Data: map[string][]byte{"x": []byte("y")}}
	c := fake.NewClientBuilder().WithObjects(broken).Build()
	_, err := Store{Client: c, Namespace: "istio-system"}.Ensure(context.Background(), "cluster.local", start)
	if err == nil || !strings.Contains(err.Error(), "istio-system/meshwright-ca") {
		t.Errorf("got %v", err)
	}
	var after corev1.Secret
	if err := c.Get(context.Background(), client.ObjectKeyFromObject(broken), &after); err != nil || string(after.Data["x"]) != "y" {
		t.Errorf("the secret is now %v, %v", after.Data, err)
	}
}

func TestKeepWritesBack(t *testing.T) {
	c := fake.NewClientBuilder().Build()
	store := Store{Client: c, Namespace: "istio-system"}
	bundle, err := store.Ensure(context.Background(), "cluster.local", start)
	if err != nil {
		t.Fatal(err)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "istio-system", Name: SecretName}}
	if err := c.Delete(context.Background(), secret); err != nil {
		t.Fatal(err)
	}
	store.keepOnce(context.Background(), bundle, logr.Discard())
	again, err := store.Ensure(context.Background(), "cluster.local", start)
	if err != nil || !again.Same(bundle) {
		t.Errorf("after the deletion: %v", err)
	}
}

func TestIsTransport(t *testing.T) {
	if IsTransport(errors.New("x")) || !IsTransport(context.DeadlineExceeded) {
		t.Error("the wrong errors count as transport")
	}
}
