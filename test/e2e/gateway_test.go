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
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshwright/meshwright/test/e2e/env"
)

const (
	plainHost  = "plain.e2e.example"
	secureHost = "secure.e2e.example"
	secretName = "e2e-certificate"
)

// certificate makes a key pair for a host that is its own authority.
func certificate(host string) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), nil
}

// sendTo asks the ingress gateway for a host until check is content.
func sendTo(t *testing.T, r env.Request, check func(env.Result) error) {
	t.Helper()
	must(t, env.Eventually(t.Context(), changeLimit, r.URL+" at "+r.Address, func(ctx context.Context) error {
		return check(env.Send(ctx, r))
	}))
}

func ok(res env.Result) error {
	if res.Err != nil {
		return res.Err
	}
	if res.Code != 200 {
		return fmt.Errorf("status %d: %.200s", res.Code, res.Body)
	}
	return nil
}

// A server whose Secret is missing is not served, its neighbour is; when the
// Secret comes, the server comes with it.
func testGatewaySecret(t *testing.T) {
	application(t)
	ctx := t.Context()
	secrets := cluster.Kube.CoreV1().Secrets(env.MeshNamespace)
	remove := func() error {
		return cluster.Delete(context.Background(), env.MeshNamespace, []byte("apiVersion: v1\nkind: Secret\nmetadata:\n  name: "+secretName+"\n"))
	}
	must(t, remove())
	address, err := cluster.Address(ctx, changeLimit, env.MeshNamespace, env.IngressGateway)
	must(t, err)
	applied(t, "gateway.yaml")
	plain := env.Request{URL: "http://" + plainHost + "/", Address: address + ":80", Timeout: 5 * time.Second}
	sendTo(t, plain, ok)

	certPEM, keyPEM, err := certificate(secureHost)
	must(t, err)
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(certPEM) {
		t.Fatal("the certificate does not parse")
	}
	secure := env.Request{
		URL: "https://" + secureHost + "/", Address: address + ":443", Timeout: 5 * time.Second,
		TLS: &tls.Config{RootCAs: roots, ServerName: secureHost, MinVersion: tls.VersionTLS12},
	}
	if res := env.Send(ctx, secure); res.Err == nil {
		t.Errorf("without its Secret the server answered %d", res.Code)
	}
	_, err = cluster.WaitCondition(ctx, changeLimit, env.Gateway, appSpace, "doors", "Programmed", "False")
	if err != nil {
		t.Errorf("the Gateway's status does not tell of the missing Secret: %v", err)
	}
	_, err = secrets.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: secretName}, Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{corev1.TLSCertKey: certPEM, corev1.TLSPrivateKeyKey: keyPEM},
	}, metav1.CreateOptions{})
	must(t, err)
	t.Cleanup(func() {
		if err := remove(); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	sendTo(t, secure, ok)
	if _, err := cluster.WaitCondition(ctx, changeLimit, env.Gateway, appSpace, "doors", "Programmed", "True"); err != nil {
		t.Errorf("the Gateway's status after the Secret came: %v", err)
	}
	if err := ok(env.Send(ctx, plain)); err != nil {
		t.Errorf("the neighbour after the Secret came: %v", err)
	}
}

// atGateway asks the ingress gateway, on its port for HTTP or HTTPS by the URL's scheme.
func atGateway(t *testing.T, r env.Request) env.Result {
	t.Helper()
	address, err := cluster.Address(t.Context(), changeLimit, env.MeshNamespace, env.IngressGateway)
	must(t, err)
	r.Address = address + ":80"
	if strings.HasPrefix(r.URL, "https:") {
		r.Address = address + ":443"
	}
	return env.Send(t.Context(), r)
}
