// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshwright/meshwright/internal/agent/redirect"
	"github.com/meshwright/meshwright/internal/proxyconfig"
)

// TestCNI: where a plugin redirects, no container of ours needs a right, and what
// the plugin reads is what the init container would have done.
func TestCNI(t *testing.T) {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{annotationNetworks: "shop/storage", "traffic.sidecar.istio.io/excludeInboundPorts": "22"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app"}}},
	}
	added := func(c Config) (containers []corev1.Container, networks any) {
		t.Helper()
		operations, _, err := c.Pod(nil, proxyconfig.Settings{}, pod)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range operations {
			switch o.Path {
			case "/spec/initContainers":
				containers = o.Value.([]corev1.Container)
			case "/metadata/annotations/k8s.v1.cni.cncf.io~1networks":
				networks = o.Value
			}
		}
		return containers, networks
	}
	plain, _ := added(testConfig)
	config := testConfig
	config.CNI = true
	got, networks := added(config)
	if len(got) != 2 || got[0].Name != VerifyContainer || got[1].Name != ProxyContainer || networks != nil {
		t.Fatalf("containers are %v, networks %v", got, networks)
	}
	if want := append(slices.Clone(plain[0].Args), redirect.Verify); !slices.Equal(got[0].Args, want) {
		t.Errorf("the arguments are %v, want %v", got[0].Args, want)
	}
	for _, c := range got {
		s := c.SecurityContext
		if *s.AllowPrivilegeEscalation || !*s.RunAsNonRoot || *s.RunAsUser == 0 || len(s.Capabilities.Add) > 0 ||
			!slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
			t.Errorf("%s: %+v is not what the standard restricted takes", c.Name, s)
		}
	}
	config.CNINetwork = "default/meshwright-cni"
	if _, networks := added(config); networks != "shop/storage,default/meshwright-cni" {
		t.Errorf("networks are %v", networks)
	}
}
