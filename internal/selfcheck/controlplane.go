// SPDX-License-Identifier: Apache-2.0

package selfcheck

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshwright/meshwright/internal/report"
	"github.com/meshwright/meshwright/internal/trust"
)

const (
	// webhookPort is where a replica reports of itself.
	webhookPort = "15017"
	// podLimit bounds the question to one replica; maxPods how many are asked.
	podLimit = 5 * time.Second
	maxPods  = 50
)

// ControlPlane is the control plane of one revision.
type ControlPlane struct {
	Namespace string
	// ServerName is the DNS name of the Service, which the certificate carries.
	ServerName string
	// Selector are the labels of the pods.
	Selector map[string]string
	// Port is the port of reports; empty means the control plane's own.
	Port string
}

// ControlPlane asks each replica that is ready whether its xDS answers, and returns nil when all say so. Readiness is
// what a pod says to its kubelet; this is the way over the network, with the certificate checked.
func (p *Prober) ControlPlane(ctx context.Context, c ControlPlane) error {
	roots, err := p.roots(ctx, c.Namespace)
	if err != nil {
		return err
	}
	var pods corev1.PodList
	if err := p.Reader.List(ctx, &pods, client.InNamespace(c.Namespace), client.MatchingLabels(c.Selector), client.Limit(maxPods)); err != nil {
		return fmt.Errorf("list the pods of %s: %w", c.ServerName, err)
	}
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, ServerName: c.ServerName},
		DisableKeepAlives: true,
	}
	if c.Port == "" {
		c.Port = webhookPort
	}
	var problems []string
	for i := range pods.Items {
		pod := &pods.Items[i]
		if !isReady(pod) {
			continue
		}
		if err := ask(ctx, transport, net.JoinHostPort(pod.Status.PodIP, c.Port)); err != nil {
			problems = append(problems, fmt.Sprintf("pod %s is Ready but %v", pod.Name, err))
		}
	}
	if len(problems) > 0 {
		return errors.New(strings.Join(problems, "; "))
	}
	return nil
}

func (p *Prober) roots(ctx context.Context, namespace string) (*x509.CertPool, error) {
	found, err := trust.Roots(ctx, p.Reader, namespace)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(found) {
		return nil, fmt.Errorf("ConfigMap %s/%s has no certificate in %s", namespace, trust.ConfigMap, trust.Key)
	}
	return pool, nil
}

func isReady(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && pod.Status.PodIP != "" && slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// ask reads what the replica at an address says of itself.
func ask(ctx context.Context, transport http.RoundTripper, address string) error {
	ctx, cancel := context.WithTimeout(ctx, podLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+report.Path, http.NoBody)
	if err != nil {
		return fmt.Errorf("cannot be asked: %w", err)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("cannot be reached at %s: %w", address, err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("does not report of itself: %s", response.Status)
	}
	told, err := report.Read(response.Body)
	switch {
	case err != nil:
		return err
	case !told.XDS.Answers:
		return fmt.Errorf("its xDS does not answer: %s", told.XDS.Error)
	}
	return nil
}
