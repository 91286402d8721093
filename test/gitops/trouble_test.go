// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package gitops

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshwright/meshwright/test/e2e/env"
)

// restartOperator kills the operator and waits for the next one, and for the mesh to be told ready by that one.
func restartOperator(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	before := caBundles(t)
	killed, err := cluster.KillPods(ctx, env.OperatorNamespace, "app.kubernetes.io/name="+env.OperatorName)
	must(t, err)
	if killed == 0 {
		t.Fatal("there is no pod of the operator")
	}
	must(t, cluster.WaitDeployments(ctx, podLimit, env.OperatorNamespace, env.OperatorName))
	_, err = cluster.WaitMesh(ctx, podLimit, "mesh")
	must(t, err)
	if !bytes.Equal(before, caBundles(t)) {
		t.Error("the webhooks' caBundle changed with the operator's restart")
	}
}

// caBundles are those of the mesh's webhooks, one after the other.
func caBundles(t *testing.T) []byte {
	t.Helper()
	var out []byte
	injectors, err := cluster.Kube.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(t.Context(), "meshwright-injector", metav1.GetOptions{})
	must(t, err)
	for _, w := range injectors.Webhooks {
		out = append(out, w.ClientConfig.CABundle...)
	}
	validators, err := cluster.Kube.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(t.Context(), "meshwright-validator", metav1.GetOptions{})
	must(t, err)
	for _, w := range validators.Webhooks {
		out = append(out, w.ClientConfig.CABundle...)
	}
	if len(out) == 0 {
		t.Fatal("the webhooks have no caBundle")
	}
	return out
}

// rotate is rotateRoot for a mesh of the operator.
func rotate(t *testing.T) {
	t.Helper()
	rotateRoot(t)
	_, err := cluster.WaitMesh(t.Context(), podLimit, "mesh")
	must(t, err)
}

// rotateRoot does the first step of a change of the mesh's authority: everybody trusts the next root besides the present
// one. The control plane starts anew with it, with new serving certificates, and puts it into its webhooks.
func rotateRoot(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	before := caBundles(t)
	next, err := newRoot()
	must(t, err)
	secrets := cluster.Kube.CoreV1().Secrets(env.MeshNamespace)
	s, err := secrets.Get(ctx, "meshwright-ca", metav1.GetOptions{})
	must(t, err)
	s.Data["root-cert.pem"] = append(bytes.TrimRight(s.Data["root-cert.pem"], "\n"), append([]byte("\n"), next...)...)
	_, err = secrets.Update(ctx, s, metav1.UpdateOptions{FieldManager: "somebody"})
	must(t, err)
	must(t, cluster.Restart(ctx, env.MeshNamespace, env.ControlPlane))
	must(t, cluster.WaitDeployments(ctx, podLimit, env.MeshNamespace, env.ControlPlane))
	must(t, env.Eventually(ctx, podLimit, "the next root in the webhooks", func(context.Context) error {
		if now := caBundles(t); bytes.Equal(now, before) || !bytes.Contains(now, bytes.TrimSpace(next)) {
			return fmt.Errorf("the caBundle is what it was")
		}
		return nil
	}))
}

// newRoot is the certificate of an authority, in PEM.
func newRoot() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{Organization: []string{"the next root"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}
