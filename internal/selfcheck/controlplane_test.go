// SPDX-License-Identifier: Apache-2.0

package selfcheck_test

import (
	"context"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshwright/meshwright/internal/report"
	"github.com/meshwright/meshwright/internal/selfcheck"
)

// objects is a reader of one ConfigMap and some pods.
type objects struct {
	client.Reader
	root string
	pods []corev1.Pod
}

func (o objects) Get(_ context.Context, _ client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	into.(*corev1.ConfigMap).Data = map[string]string{"root-cert.pem": o.root}
	return nil
}

func (o objects) List(_ context.Context, into client.ObjectList, _ ...client.ListOption) error {
	into.(*corev1.PodList).Items = o.pods
	return nil
}

func pod(name string, ready corev1.ConditionStatus) corev1.Pod {
	return corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.PodStatus{
		PodIP: "127.0.0.1", Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}},
	}}
}

func TestControlPlane(t *testing.T) {
	answer, code := "", http.StatusOK
	// The certificate of httptest is for example.com.
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/status" {
			t.Errorf("asked %s", r.URL.Path)
		}
		w.WriteHeader(code)
		_, _ = w.Write([]byte(answer))
	}))
	defer server.Close()
	root := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		answer  string
		code    int
		service string
		root    string
		pods    []corev1.Pod
		want    string
		// proxies are not known when none are connected.
		proxies report.Proxies
	}{
		"answers": {
			answer: `{"revision": "default", "xds": {"answers": true}, "proxies": {"connected": 3, "synced": 1, "rejecting": 1, "lagging": 1}}`,
			pods:   []corev1.Pod{pod("a", corev1.ConditionTrue), pod("b", corev1.ConditionTrue), pod("c", corev1.ConditionFalse)}, want: "",
			proxies: report.Proxies{Connected: 6, Synced: 2, Rejecting: 2, Lagging: 2},
		},
		"does not answer": {
			answer: `{"revision": "default", "xds": {"error": "refused"}, "proxies": {"connected": 1}}`, want: "pod a is Ready but its xDS does not answer: refused",
			proxies: report.Proxies{Connected: 1},
		},
		"is something else": {answer: `{}`, want: "pod a is Ready but what was answered is not a control plane's report"},
		"has no report":     {answer: "", code: http.StatusNotFound, want: "pod a is Ready but does not report of itself: 404"},
		"is somebody else":  {service: "other", want: "pod a is Ready but cannot be reached"},
		"without roots":     {root: "none", want: "has no certificate"},
		"none is ready":     {answer: "{}", pods: []corev1.Pod{pod("b", corev1.ConditionFalse)}, want: ""},
	} {
		t.Run(name, func(t *testing.T) {
			answer, code = c.answer, max(c.code, http.StatusOK)
			reader := objects{root: root, pods: []corev1.Pod{pod("a", corev1.ConditionTrue)}}
			if c.root != "" {
				reader.root = c.root
			}
			if c.pods != nil {
				reader.pods = c.pods
			}
			asked := selfcheck.ControlPlane{Namespace: "istio-system", ServerName: "example.com", Port: port}
			if c.service != "" {
				asked.ServerName = c.service
			}
			err := (&selfcheck.Prober{Reader: reader}).ControlPlane(t.Context(), asked)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			proxies, err := (&selfcheck.Prober{Reader: reader}).Proxies(t.Context(), asked)
			if proxies != c.proxies || (err == nil) != (c.proxies.Connected > 0) {
				t.Errorf("proxies are %+v, %v; want %+v", proxies, err, c.proxies)
			}
		})
	}
}
