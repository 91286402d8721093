// SPDX-License-Identifier: Apache-2.0

package census

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func pod(namespace, revision, image string) *corev1.Pod {
	out := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace}}
	if revision != "" {
		out.Annotations = map[string]string{"sidecar.istio.io/status": `{"revision":"` + revision + `"}`}
		out.Spec.InitContainers = []corev1.Container{{Name: "istio-init", Image: "x/proxy:init"}, {Name: "istio-proxy", Image: image}}
	}
	out.Spec.Containers = []corev1.Container{{Name: "app", Image: "app:v9"}}
	return out
}

func TestCount(t *testing.T) {
	ended := pod("a", "default", "x/proxy:v1")
	ended.Status.Phase = corev1.PodSucceeded
	gateway := pod("istio-system", "", "")
	gateway.Labels = map[string]string{"app.kubernetes.io/name": "meshwright-gateway", "istio.io/rev": "default"}
	gateway.Spec.Containers[0] = corev1.Container{Name: "istio-proxy", Image: "x/proxy:v1"}
	c := counter{}
	for _, p := range []*corev1.Pod{
		pod("a", "default", "x/proxy:v1"), pod("a", "default", "x/proxy:v1"), pod("b", "default", "x/proxy:v1"),
		pod("b", "default", "x/proxy:v2"), pod("b", "canary", "x/proxy:v2"), pod("c", "", ""), ended, gateway,
	} {
		c.add(p)
	}
	want := []Proxies{
		{Kind: Gateway, Revision: "default", Version: "v1", Pods: 1, Namespaces: 1},
		{Kind: Sidecar, Revision: "canary", Version: "v2", Pods: 1, Namespaces: 1},
		{Kind: Sidecar, Revision: "default", Version: "v1", Pods: 3, Namespaces: 2},
		{Kind: Sidecar, Revision: "default", Version: "v2", Pods: 1, Namespaces: 1},
	}
	if diff := cmp.Diff(want, c.sorted()); diff != "" {
		t.Error(diff)
	}
}

func TestVersion(t *testing.T) {
	for image, want := range map[string]string{
		"proxy":                           "latest",
		"proxy:v1":                        "v1",
		"registry:5000/mesh/proxy":        "latest",
		"registry:5000/mesh/proxy:v1":     "v1",
		"r/proxy@sha256:abc":              "sha256:abc",
		"r:5000/mesh/proxy:v1@sha256:abc": "sha256:abc",
		"":                                "unknown",
	} {
		if got := Version(image); got != want {
			t.Errorf("%q: got %q, want %q", image, got, want)
		}
	}
}
