// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/meshwright/meshwright/internal/proxyconfig"
)

// TestPullSecrets: the proxy's image comes from a registry that the pod's own Secrets may not open; what the pod names stays.
func TestPullSecrets(t *testing.T) {
	refs := func(names ...string) []corev1.LocalObjectReference {
		var out []corev1.LocalObjectReference
		for _, n := range names {
			out = append(out, corev1.LocalObjectReference{Name: n})
		}
		return out
	}
	config := testConfig
	config.PullSecrets = []string{"mirror", "other"}
	for name, c := range map[string]struct {
		config Config
		has    []corev1.LocalObjectReference
		want   []Operation
	}{
		"none are configured": {testConfig, refs("own"), nil},
		"the pod has none":    {config, nil, []Operation{{Op: "add", Path: "/spec/imagePullSecrets", Value: refs("mirror", "other")}}},
		"the pod has another": {config, refs("own", "mirror"), []Operation{{Op: "add", Path: "/spec/imagePullSecrets/-", Value: refs("other")[0]}}},
		"the pod has all":     {config, refs("other", "mirror"), nil},
	} {
		pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app"}}, ImagePullSecrets: c.has}}
		operations, _, err := c.config.Pod(nil, proxyconfig.Settings{}, pod)
		if err != nil {
			t.Fatal(err)
		}
		var got []Operation
		for _, o := range operations {
			if len(o.Path) >= len("/spec/imagePullSecrets") && o.Path[:len("/spec/imagePullSecrets")] == "/spec/imagePullSecrets" {
				got = append(got, o)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
