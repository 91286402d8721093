// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/meshwright/meshwright/test/e2e/env"
)

// authority signs certificates that are not the mesh's.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	// PEM is the certificate as files and Secrets hold it.
	PEM []byte
}

// pair is a certificate and its key.
type pair struct{ certPEM, keyPEM []byte }

func newAuthority(name string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{certificate: certificate, key: key, PEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}, nil
}

// issue signs a certificate for clients and servers of the names; the first is its subject.
func (a *authority) issue(names ...string) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(23 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return pair{}, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return pair{}, err
	}
	return pair{
		certPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		keyPEM:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}, nil
}

// trusts is a client's TLS configuration that trusts the authority alone.
func (a *authority) trusts(serverName string, own ...pair) (*tls.Config, error) {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	out := &tls.Config{RootCAs: pool, ServerName: serverName, MinVersion: tls.VersionTLS12}
	for _, p := range own {
		c, err := tls.X509KeyPair(p.certPEM, p.keyPEM)
		if err != nil {
			return nil, err
		}
		// Shown whatever the server asks for: of itself the client shows none that the server would refuse.
		out.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c, nil }
	}
	return out, nil
}

// Names of the servers outside of the mesh, as their certificates have them.
const (
	outsideA = "a.outside.example"
	outsideB = "b.outside.example"
	// peerOwn is in the certificate that the pods of peer have besides the mesh's.
	peerOwn = "own.example"
)

// outsideAuthority signs what the servers outside of the mesh show.
var outsideAuthority = sync.OnceValues(func() (*authority, error) { return newAuthority("the outside") })

// outsideSecrets gives the servers outside of the mesh their certificates, and a
// client in the mesh the authority and a certificate of it.
func outsideSecrets(ctx context.Context) error {
	ca, err := outsideAuthority()
	if err != nil {
		return err
	}
	for _, s := range []struct{ namespace, name, subject string }{
		{plainSpace, "outside-a", outsideA},
		{plainSpace, "outside-b", outsideB},
		{appSpace, "outside-client", "asker"},
		{appSpace, "peer-own", peerOwn},
	} {
		p, err := ca.issue(s.subject)
		if err != nil {
			return err
		}
		if err := setSecret(ctx, s.namespace, s.name, p, ca.PEM); err != nil {
			return err
		}
	}
	return nil
}

// outsideReady gives the pods that an earlier run left certificates that this one knows.
func outsideReady(ctx context.Context) error {
	if err := outsideSecrets(ctx); err != nil {
		return err
	}
	for namespace, names := range map[string][]string{plainSpace: {"outside-a", "outside-b"}, appSpace: {"asker"}} {
		for _, n := range names {
			if err := cluster.Restart(ctx, namespace, n); err != nil {
				return err
			}
		}
		if err := cluster.WaitDeployments(ctx, podLimit, namespace, names...); err != nil {
			return err
		}
	}
	return nil
}

// setSecret makes or replaces a Secret with a certificate, its key and an authority.
func setSecret(ctx context.Context, namespace, name string, p pair, ca []byte) error {
	content := map[string][]byte{"tls.crt": p.certPEM, "tls.key": p.keyPEM}
	if ca != nil {
		content["ca.crt"] = ca
	}
	s := applycorev1.Secret(name, namespace).WithType(corev1.SecretTypeTLS).WithData(content)
	_, err := cluster.Kube.CoreV1().Secrets(namespace).Apply(ctx, s, metav1.ApplyOptions{FieldManager: env.FieldManager, Force: true})
	if err != nil {
		return fmt.Errorf("apply Secret %s/%s: %w", namespace, name, err)
	}
	return nil
}
