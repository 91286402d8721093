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
	var problems []string
	err := p.each(ctx, c, func(pod string, told report.Report, err error) {
		if err == nil && !told.XDS.Answers {
			err = fmt.Errorf("its xDS does not answer: %s", told.XDS.Error)
		}
		if err != nil {
			problems = append(problems, fmt.Sprintf("pod %s is Ready but %v", pod, err))
		}
	})
	if err == nil && len(problems) > 0 {
		return errors.New(strings.Join(problems, "; "))
	}
	return err
}

// Proxies adds up the proxies of all replicas that are ready. It fails when one of them does not say, or none is ready:
// then it is not known how the proxies are.
func (p *Prober) Proxies(ctx context.Context, c ControlPlane) (report.Proxies, error) {
	var sum report.Proxies
	var problems []string
	asked := 0
	err := p.each(ctx, c, func(pod string, told report.Report, err error) {
		asked++
		if err != nil {
			problems = append(problems, fmt.Sprintf("pod %s %v", pod, err))
		}
		sum = sum.Plus(told.Proxies)
	})
	switch {
	case err != nil:
		return report.Proxies{}, err
	case len(problems) > 0:
		return report.Proxies{}, errors.New(strings.Join(problems, "; "))
	case asked == 0:
		return report.Proxies{}, fmt.Errorf("no replica of %s is ready", c.ServerName)
	}
	return sum, nil
}

// each asks the replicas that are ready, and tells what each said of itself, or why it did not.
func (p *Prober) each(ctx context.Context, c ControlPlane, tell func(pod string, told report.Report, err error)) error {
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
	for i := range pods.Items {
		if pod := &pods.Items[i]; isReady(pod) {
			told, err := ask(ctx, transport, net.JoinHostPort(pod.Status.PodIP, c.Port))
			tell(pod.Name, told, err)
		}
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
func ask(ctx context.Context, transport http.RoundTripper, address string) (report.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, podLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+report.Path, http.NoBody)
	if err != nil {
		return report.Report{}, fmt.Errorf("cannot be asked: %w", err)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return report.Report{}, fmt.Errorf("cannot be reached at %s: %w", address, err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return report.Report{}, fmt.Errorf("does not report of itself: %s", response.Status)
	}
	return report.Read(response.Body)
}
