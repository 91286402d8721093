// SPDX-License-Identifier: Apache-2.0

//go:build integration

package controlplane_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// pointWebhooksAt replaces the chart's injector by a copy of it that the API server can reach without a Service
// network, and restores it.
func pointWebhooksAt(t *testing.T, address string) {
	t.Helper()
	api := typed.AdmissionregistrationV1().MutatingWebhookConfigurations()
	chart, err := api.Get(t.Context(), "meshwright-injector", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	moved := chart.DeepCopy()
	moved.ObjectMeta = metav1.ObjectMeta{Name: "by-address"}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	for i := range moved.Webhooks {
		moved.Webhooks[i].ClientConfig = admissionregistrationv1.WebhookClientConfig{
			URL: new("https://localhost:" + port + "/inject"), CABundle: rootPEM(t),
		}
	}
	if err := api.Delete(t.Context(), chart.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := api.Create(t.Context(), moved, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := api.Delete(context.Background(), moved.Name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
		chart.ObjectMeta = metav1.ObjectMeta{Name: chart.Name, Labels: chart.Labels}
		if _, err := api.Create(context.Background(), chart, metav1.CreateOptions{}); err != nil {
			t.Error(err)
		}
	})
}

func TestInjectionThroughTheAPIServer(t *testing.T) {
	r := start(t)
	pointWebhooksAt(t, r.webhook)
	makeNamespace(t, "inject-on", map[string]string{"istio-injection": "enabled"})
	makeNamespace(t, "inject-off", map[string]string{"istio-injection": "disabled"})
	makeNamespace(t, "inject-none", nil)
	makeNamespace(t, "inject-rev", map[string]string{"istio.io/rev": "default"})
	makeNamespace(t, "inject-other", map[string]string{"istio.io/rev": "canary"})
	for _, c := range []struct {
		namespace, label string
		want             bool
	}{
		{"inject-on", "", true},
		{"inject-on", "true", true},
		{"inject-on", "false", false},
		{"inject-off", "", false},
		{"inject-off", "true", false},
		{"inject-none", "", false},
		{"inject-none", "true", true},
		{"inject-none", "false", false},
		{"inject-rev", "", true},
		{"inject-rev", "false", false},
		{"inject-other", "", false},
		{"kube-system", "true", false},
	} {
		pod := newPod(c.label)
		var made *corev1.Pod
		// A new configuration takes the API server a moment to see.
		eventually(t, fmt.Sprintf("pod in %s with label %q", c.namespace, c.label), func() (err error) {
			made, err = typed.CoreV1().Pods(c.namespace).Create(t.Context(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			if err != nil {
				return err
			}
			if got := len(made.Spec.InitContainers) == 2; got != c.want {
				return fmt.Errorf("injected: %v, want %v", got, c.want)
			}
			return nil
		})
		if c.want && (made.Spec.InitContainers[1].Name != "istio-proxy" || made.Labels["istio.io/rev"] != "default" || made.Annotations["sidecar.istio.io/status"] == "") {
			t.Errorf("%s/%q: got %+v", c.namespace, c.label, made.ObjectMeta)
		}
	}

	wrong := newPod("")
	wrong.Annotations = map[string]string{"sidecar.istio.io/proxyCPU": "fast"}
	_, err := typed.CoreV1().Pods("inject-on").Create(t.Context(), wrong, metav1.CreateOptions{})
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "metadata.annotations[sidecar.istio.io/proxyCPU]") {
		t.Errorf("a wrong annotation gives %v", err)
	}
	// A pod that is stored, read and created again elsewhere keeps one proxy.
	first, err := typed.CoreV1().Pods("inject-on").Create(t.Context(), newPod(""), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	again := first.DeepCopy()
	again.ObjectMeta = metav1.ObjectMeta{Name: "again", Labels: first.Labels, Annotations: first.Annotations}
	second, err := typed.CoreV1().Pods("inject-on").Create(t.Context(), again, metav1.CreateOptions{})
	if err != nil || len(second.Spec.InitContainers) != 2 || len(second.Spec.Volumes) != len(first.Spec.Volumes) {
		t.Errorf("created again: %v, %d init containers", err, len(second.Spec.InitContainers))
	}
}

func newPod(label string) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "app-"},
		// Where the admission of service accounts runs, it fills in the name before webhooks are called.
		Spec: corev1.PodSpec{ServiceAccountName: "default", Containers: []corev1.Container{{
			Name: "app", Image: "app:1",
			LivenessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: 9000}}},
		}}},
	}
	if label != "" {
		pod.Labels = map[string]string{"sidecar.istio.io/inject": label}
	}
	return pod
}
