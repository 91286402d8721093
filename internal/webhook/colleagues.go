// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// colleagueLimit leaves, of the 10 s that the API server waits, enough to inject the own proxy.
	colleagueLimit = 2 * time.Second
	// colleagueConnections are kept open; more are made when more pods start at a time.
	colleagueConnections = 16
)

// Colleagues passes reviews on to the control planes of other revisions. It is safe for concurrent use.
type Colleagues struct {
	host      func(revision string) string
	transport *http.Transport
	limit     time.Duration
}

// NewColleagues trusts the roots. host is the DNS name of a revision's Service, which its certificate must carry.
func NewColleagues(roots *x509.CertPool, host func(revision string) string) *Colleagues {
	// Not HTTP/2: a replica that vanished takes one connection with it here, and not all reviews.
	return &Colleagues{host: host, limit: colleagueLimit, transport: &http.Transport{
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		MaxIdleConnsPerHost: colleagueConnections, IdleConnTimeout: idleTimeout / 2,
		MaxResponseHeaderBytes: 64 << 10,
	}}
}

// Review asks a revision at a path. An answer that says that it could not decide is an error, too.
func (c *Colleagues) Review(ctx context.Context, revision, path string, request *admissionv1.AdmissionRequest) (*admissionv1.AdmissionResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	review := admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "AdmissionReview"}, Request: request,
	}
	response, err := ask(ctx, c.transport, "https://"+net.JoinHostPort(c.host(revision), "443")+path, review)
	if err != nil {
		return nil, err
	}
	if result := response.Result; !response.Allowed && result != nil && result.Code >= http.StatusInternalServerError {
		return nil, fmt.Errorf("revision %s could not decide: %.200s", revision, result.Message)
	}
	return response, nil
}
