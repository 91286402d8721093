// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/proxyconfig"
)

var update = flag.Bool("update", false, "rewrite the expected files")

var testConfig = Config{
	Revision: "default", Image: "registry.example/proxy:v1", PullPolicy: corev1.PullIfNotPresent,
	DiscoveryAddress: "meshwright.istio-system.svc:15012", TrustDomain: "cluster.local",
	ClusterID: "Kubernetes", ClusterDomain: "cluster.local",
	Token: func() string { return "TOKENTOKENTOKENTOKENTOKENT" },
}

// testProxies has settings for pods with the label app=tuned in namespace app, and a second set that loses to them.
func testProxies() *proxyconfig.Store {
	store := proxyconfig.NewStore(proxyconfig.Settings{}, "istio-system")
	selector := ir.NewLabels(map[string]string{"app": "tuned"})
	store.Update(map[string]*ir.ProxyDefaults{"app": {Workloads: []*ir.ProxyConfig{
		{
			Origin: ir.Origin{Kind: "ProxyConfig", Namespace: "app", Name: "older"}, Selector: selector,
			Workers: ir.Workers{Set: true, Number: 3}, Environment: []ir.Variable{{Name: "A", Value: "of the object"}, {Name: "B", Value: "of the object"}},
		},
		{Origin: ir.Origin{Kind: "ProxyConfig", Namespace: "app", Name: "younger"}, Selector: selector},
	}}})
	return store
}

// outcome is what a golden file holds: the pod as the API server would store it, or why it is refused.
type outcome struct {
	Pod      any      `json:"pod,omitempty"`
	Refused  string   `json:"refused,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

func TestGolden(t *testing.T) {
	inputs, err := filepath.Glob("testdata/*.in.yaml")
	if err != nil || len(inputs) == 0 {
		t.Fatalf("no inputs: %v", err)
	}
	expected := map[string]bool{}
	for _, in := range inputs {
		name := strings.TrimSuffix(filepath.Base(in), ".in.yaml")
		out := filepath.Join("testdata", name+".out.yaml")
		expected[out] = true
		t.Run(name, func(t *testing.T) { golden(t, in, out) })
	}
	outputs, err := filepath.Glob("testdata/*.out.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, out := range outputs {
		if expected[out] {
			continue
		}
		if !*update {
			t.Errorf("%s has no input; run with -update to remove it", out)
		} else if err := os.Remove(out); err != nil {
			t.Error(err)
		}
	}
}

func golden(t *testing.T, in, out string) {
	text, err := os.ReadFile(in)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	got, err := yaml.Marshal(review(t, raw))
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(out, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(out)
	if err != nil {
		t.Fatalf("%v; run with -update to write it", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("differs from %s (-want +got):\n%s", out, diff)
	}
}

// review injects raw, checks that the result is a pod, and that a second review changes nothing.
func review(t *testing.T, raw []byte) outcome {
	t.Helper()
	injector, err := NewInjector(testConfig, staticNamespaces{"app": {LabelNamespace: "enabled"}}, testProxies(), nil, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	response := injector.Review(t.Context(), podRequest("app", raw))
	if !response.Allowed {
		return outcome{Refused: response.Result.Message}
	}
	if response.Patch == nil {
		t.Fatal("not injected")
	}
	patched := apply(t, raw, response.Patch)
	var pod corev1.Pod
	if err := json.Unmarshal(patched, &pod); err != nil {
		t.Fatalf("the result is not a pod: %v", err)
	}
	if again := injector.Review(t.Context(), podRequest("app", patched)); !again.Allowed || again.Patch != nil {
		t.Errorf("a second review gives %s", again.Patch)
	}
	var tree any
	if err := json.Unmarshal(patched, &tree); err != nil {
		t.Fatal(err)
	}
	return outcome{Pod: tree, Warnings: response.Warnings}
}

func apply(t *testing.T, raw, operations []byte) []byte {
	t.Helper()
	p, err := jsonpatch.DecodePatch(operations)
	if err != nil {
		t.Fatal(err)
	}
	patched, err := p.Apply(raw)
	if err != nil {
		t.Fatalf("the patch does not apply: %v\n%s", err, operations)
	}
	return patched
}

func podRequest(namespace string, raw []byte) *admissionv1.AdmissionRequest {
	return &admissionv1.AdmissionRequest{
		UID: "1", Namespace: namespace, Operation: admissionv1.Create, Resource: podResource, Object: runtime.RawExtension{Raw: raw},
	}
}
