// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package gitops

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshwright/meshwright/test/e2e/env"
)

// load is what the pods of the mesh use, as a metrics API tells autoscalers: thousandths of a CPU for each Deployment,
// spread over its pods.
type load struct {
	mu   sync.Mutex
	used map[string]int64
}

// scaled are the replicas that the ingress gateway gets.
const scaled = 3

// scale lets the autoscaler of the ingress gateway add a replica: its pods use, together, what makes three of them as
// busy as wished.
func (l *load) scale(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	l.used[env.IngressGateway] = scaled * 80
	l.mu.Unlock()
	must(t, env.Eventually(t.Context(), podLimit, "the autoscaler to add a replica", l.has))
	must(t, cluster.WaitDeployments(t.Context(), podLimit, env.MeshNamespace, env.IngressGateway))
}

// held wants what the autoscaler did to be as it did it.
func (l *load) held(t *testing.T) {
	t.Helper()
	if err := l.has(t.Context()); err != nil {
		t.Errorf("somebody took back what the autoscaler did: %v", err)
	}
}

func (l *load) has(ctx context.Context) error {
	s, err := cluster.Kube.AppsV1().Deployments(env.MeshNamespace).GetScale(ctx, env.IngressGateway, metav1.GetOptions{})
	if err == nil && s.Spec.Replicas != scaled {
		err = fmt.Errorf("the ingress gateway has %d replicas, want %d", s.Spec.Replicas, scaled)
	}
	return err
}

const metricsGroup = "/apis/metrics.k8s.io/v1beta1"

// serveMetrics answers for metrics.k8s.io, as metrics-server does, until the test ends.
func serveMetrics(t *testing.T) *load {
	t.Helper()
	l := &load{used: map[string]int64{env.IngressGateway: 100, env.ControlPlane: 100}}
	address, err := ownAddress()
	must(t, err)
	listener, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	must(t, err)
	server := &httptest.Server{Listener: listener, Config: &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(l.serve)}}
	server.StartTLS()
	t.Cleanup(server.Close)
	text := fmt.Sprintf(metricsService, listener.Addr().(*net.TCPAddr).Port, address)
	must(t, cluster.Apply(t.Context(), "kube-system", []byte(text)))
	t.Cleanup(func() {
		if err := cluster.Delete(context.Background(), "kube-system", []byte(text)); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	return l
}

// metricsService leads the API server to the test.
const metricsService = `
apiVersion: v1
kind: Service
metadata: {name: test-metrics}
spec:
  ports: [{name: https, port: 443, targetPort: %[1]d}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: test-metrics, labels: {kubernetes.io/service-name: test-metrics}}
addressType: IPv4
ports: [{name: https, port: %[1]d}]
endpoints: [{addresses: [%[2]q]}]
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1beta1.metrics.k8s.io}
spec:
  group: metrics.k8s.io
  version: v1beta1
  groupPriorityMinimum: 100
  versionPriority: 100
  insecureSkipTLSVerify: true
  service: {namespace: kube-system, name: test-metrics, port: 443}
`

// ownAddress is this machine's, as the cluster sees it.
func ownAddress() (string, error) {
	u, err := url.Parse(cluster.Kube.CoreV1().RESTClient().Get().URL().String())
	if err != nil {
		return "", err
	}
	c, err := net.Dial("udp", u.Host)
	if err != nil {
		return "", fmt.Errorf("find this machine's address: %w", err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).IP.String(), nil
}

func (l *load) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	var answer any = map[string]any{
		"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "metrics.k8s.io/v1beta1",
		"resources": []any{map[string]any{"name": "pods", "singularName": "", "namespaced": true, "kind": "PodMetrics", "verbs": []string{"get", "list"}}},
	}
	if rest, ok := strings.CutPrefix(r.URL.Path, metricsGroup+"/namespaces/"); ok {
		namespace, _, _ := strings.Cut(rest, "/")
		items, err := l.pods(r.Context(), namespace, r.URL.Query().Get("labelSelector"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		answer = map[string]any{"kind": "PodMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": map[string]any{}, "items": items}
	} else if r.URL.Path != metricsGroup {
		http.NotFound(w, r)
		return
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func (l *load) pods(ctx context.Context, namespace, selector string) ([]any, error) {
	pods, err := cluster.Kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	items := []any{}
	for _, p := range pods.Items {
		for deployment, total := range l.used {
			if !strings.HasPrefix(p.Name, deployment+"-") {
				continue
			}
			each := strconv.FormatInt(total/int64(len(pods.Items)), 10) + "m"
			items = append(items, map[string]any{
				"metadata":  map[string]any{"name": p.Name, "namespace": p.Namespace, "labels": p.Labels},
				"timestamp": time.Now().UTC().Format(time.RFC3339), "window": "15s",
				"containers": []any{map[string]any{"name": p.Spec.Containers[0].Name, "usage": map[string]any{"cpu": each, "memory": "64Mi"}}},
			})
		}
	}
	return items, nil
}
