// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

const selfCheckUID = types.UID("self-check")

// SelfCheck calls the process's own webhook as the API server would: over TCP and TLS, by the Service's name, trusting
// only the root.
type SelfCheck struct {
	// Address is HOST:PORT of the listener, seen from this process.
	Address string
	// ServerName is the Service's DNS name, which the certificate must carry.
	ServerName string
	// Roots are what the API server was told to trust.
	Roots *x509.CertPool
	// Namespace is named in the review; it must exist.
	Namespace string
}

// Repeated calls until it is told to end.
func (s *SelfCheck) Repeated() *Repeated {
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: s.Roots, ServerName: s.ServerName},
		// A new connection each time, since it is the handshake with the current certificate that is to be seen.
		DisableKeepAlives: true,
	}
	return &Repeated{Call: func(ctx context.Context) error { return s.call(ctx, transport) }}
}

func (s *SelfCheck) call(ctx context.Context, transport http.RoundTripper) error {
	response, err := ask(ctx, transport, "https://"+s.Address+PathInject, s.review())
	if err != nil {
		return fmt.Errorf("the own webhook: %w", err)
	}
	if !response.Allowed {
		return fmt.Errorf("the own webhook refuses a plain pod: %v", response.Result)
	}
	return nil
}

// review asks about a pod that every injector allows. It is marked as a dry run, so that it is not counted.
func (s *SelfCheck) review() admissionv1.AdmissionReview {
	pod, _ := json.Marshal(corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Name: "self-check", Namespace: s.Namespace},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "none"}}},
	})
	return admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID: selfCheckUID, Kind: metav1.GroupVersionKind{Version: "v1", Kind: "Pod"},
			Resource: metav1.GroupVersionResource{Version: "v1", Resource: "pods"}, Namespace: s.Namespace,
			Operation: admissionv1.Create, DryRun: new(true), Object: runtime.RawExtension{Raw: pod},
		},
	}
}

// LocalAddress is how this process reaches its own listener: an unspecified host becomes the loopback address.
func LocalAddress(listener net.Addr) string {
	host, port, err := net.SplitHostPort(listener.String())
	if err != nil {
		return listener.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
