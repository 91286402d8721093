// SPDX-License-Identifier: Apache-2.0

//go:build integration

package operator

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshwright/meshwright/charts"
	"github.com/meshwright/meshwright/internal/helm"
	"github.com/meshwright/meshwright/internal/selfcheck"
	"github.com/meshwright/meshwright/internal/webhook"
)

type allows struct{}

func (allows) Review(context.Context, *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	return &admissionv1.AdmissionResponse{Allowed: true}
}

// TestSelfCheck asks the real API server with the webhooks of the chart, whose server is reached by a URL here.
func TestSelfCheck(t *testing.T) {
	ctx := context.Background()
	space := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "mesh-self-check"}}
	if err := world.admin.Create(ctx, space); err != nil {
		t.Fatal(err)
	}
	certificate, pemBytes := loopback(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serving, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	server := webhook.NewServer(&tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
		map[string]webhook.Reviewer{webhook.PathInject: allows{}, webhook.PathValidate: allows{}}, nil, nil, logr.Discard())
	go func() { done <- server.Serve(serving, listener, time.Second) }()
	end := func() { stop(); <-done }
	t.Cleanup(stop)

	injector, validator := webhooksOf(t, space.Name, listener.Addr().String(), pemBytes)
	prober := &selfcheck.Prober{Client: world.admin}
	asked := selfcheck.Webhooks{Namespace: space.Name, Revision: "checked", Injector: true, Validator: true}
	wants := func(text string) {
		t.Helper()
		eventually(t, 20*time.Second, func() error {
			err := prober.Webhooks(ctx, asked)
			if text == "" && err != nil || text != "" && (err == nil || !strings.Contains(err.Error(), text)) {
				return fmt.Errorf("got %v, want %q", err, text)
			}
			return nil
		})
	}
	wants("did not ask the validator")
	put(t, validator)
	wants("did not ask the injector")
	put(t, injector)
	wants("")
	asked.Revision = "other"
	wants("did not ask the validator")
	asked.Revision = "checked"
	var left corev1.ConfigMapList
	if err := world.admin.List(ctx, &left, client.InNamespace(space.Name), client.HasLabels{selfcheck.Label}); err != nil || len(left.Items) > 0 {
		t.Errorf("the checks left %d ConfigMaps (%v)", len(left.Items), err)
	}
	// Others' objects are not asked about.
	plain := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: space.Name, Name: "plain"}}
	end()
	if err := world.admin.Create(ctx, plain); err != nil {
		t.Errorf("a plain ConfigMap cannot be created while no control plane answers: %v", err)
	}
	wants(`failed calling webhook "self-check.injector.meshwright.dev"`)
}

// webhooksOf renders the webhooks of the control plane's chart, and points them to a URL.
func webhooksOf(t *testing.T, namespace, address string, bundle []byte) (injector, validator client.Object) {
	t.Helper()
	all, err := helm.Load(charts.Files)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := all.Render(helm.Release{
		Chart: "controlplane", Name: "controlplane", Namespace: namespace, Values: map[string]any{"revision": "checked"},
	}, "v1.36.0")
	if err != nil {
		t.Fatal(err)
	}
	point := func(c *admissionregistrationv1.WebhookClientConfig) {
		url := "https://" + address + *c.Service.Path
		c.URL, c.Service, c.CABundle = &url, nil, bundle
	}
	for _, object := range objects {
		switch object.GetKind() {
		case "MutatingWebhookConfiguration":
			typed := &admissionregistrationv1.MutatingWebhookConfiguration{}
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, typed); err != nil {
				t.Fatal(err)
			}
			for i := range typed.Webhooks {
				point(&typed.Webhooks[i].ClientConfig)
			}
			injector = typed
		case "ValidatingWebhookConfiguration":
			typed := &admissionregistrationv1.ValidatingWebhookConfiguration{}
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, typed); err != nil {
				t.Fatal(err)
			}
			for i := range typed.Webhooks {
				point(&typed.Webhooks[i].ClientConfig)
			}
			validator = typed
		}
	}
	return injector, validator
}

// loopback makes a certificate for 127.0.0.1.
func loopback(t *testing.T) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
