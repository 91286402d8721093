// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/meshwright/meshwright/internal/ir"
)

var update = flag.Bool("update", false, "write the golden files")

var (
	scope = Scope{Cluster: "east", Domain: "cluster.local"}
	noon  = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
)

// output is a golden file: the row, null when there is none, and the problems.
type output struct {
	Row      any
	Problems []string `json:",omitempty"`
	Error    string   `json:",omitempty"`
}

// kinds projects an object of each kind from its text; the name is the directory in testdata.
var kinds = map[string]func([]byte) (output, error){
	"service":               plain(scope.Service),
	"endpointslice":         plain(scope.EndpointSlice),
	"pod":                   plain(scope.Pod),
	"node":                  plain(scope.Node),
	"namespace":             plain(scope.Namespace),
	"virtualservice":        configured(scope.VirtualService),
	"destinationrule":       configured(scope.DestinationRule),
	"gateway":               configured(scope.Gateway),
	"serviceentry":          configured(scope.ServiceEntry),
	"workloadentry":         configured(scope.WorkloadEntry),
	"workloadgroup":         configured(scope.WorkloadGroup),
	"sidecar":               configured(scope.Sidecar),
	"peerauthentication":    configured(scope.PeerAuthentication),
	"requestauthentication": configured(scope.RequestAuthentication),
	"proxyconfig":           configured(scope.ProxyConfig),
	"ingress":               configured(scope.Ingress),
	"ingressclass":          configured(scope.IngressClass),
}

func plain[O corev1.Service | discoveryv1.EndpointSlice | corev1.Pod | corev1.Node | corev1.Namespace, R any](project func(*O) *R) func([]byte) (output, error) {
	return func(text []byte) (output, error) {
		in := new(O)
		if err := yaml.UnmarshalStrict(text, in); err != nil {
			return output{}, err
		}
		return output{Row: project(in)}, nil
	}
}

func configured[R any](project func(*metav1.ObjectMeta, []byte) (*R, []ir.Problem, error)) func([]byte) (output, error) {
	return func(text []byte) (output, error) {
		meta, spec, err := object(text)
		if err != nil {
			return output{}, err
		}
		row, problems, err := project(meta, spec)
		out := output{Row: row}
		for _, p := range problems {
			severity := map[ir.Severity]string{ir.Error: "Error", ir.Warning: "Warning"}[p.Severity]
			out.Problems = append(out.Problems, fmt.Sprintf("%s %s %s", severity, p.Reason, p))
		}
		if err != nil {
			// Messages of the protobuf module vary on purpose; only that there is one is kept.
			out.Error = "cannot be decoded"
		}
		return out, nil
	}
}

func object(text []byte) (*metav1.ObjectMeta, []byte, error) {
	text, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, nil, err
	}
	var in struct {
		metav1.TypeMeta   `json:",inline"`
		metav1.ObjectMeta `json:"metadata"`
		Spec              json.RawMessage `json:"spec"`
	}
	err = json.Unmarshal(text, &in)
	return &in.ObjectMeta, in.Spec, err
}

func TestGolden(t *testing.T) {
	used := map[string]bool{}
	for kind, project := range kinds {
		inputs, err := filepath.Glob(filepath.Join("testdata", kind, "*.in.yaml"))
		if err != nil || len(inputs) == 0 {
			t.Errorf("no inputs for %s (%v)", kind, err)
		}
		for _, input := range inputs {
			golden := strings.TrimSuffix(input, ".in.yaml") + ".out.yaml"
			used[input], used[golden] = true, true
			t.Run(strings.TrimSuffix(strings.TrimPrefix(input, "testdata/"), ".in.yaml"), func(t *testing.T) {
				compare(t, project, input, golden)
			})
		}
	}
	files, err := filepath.Glob(filepath.Join("testdata", "*", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		switch {
		case used[f]:
		case *update && strings.HasSuffix(f, ".out.yaml"):
			if err := os.Remove(f); err != nil {
				t.Error(err)
			}
		default:
			t.Errorf("%s belongs to no test; remove it", f)
		}
	}
}

func compare(t *testing.T, project func([]byte) (output, error), input, golden string) {
	text, err := os.ReadFile(input)
	if err != nil {
		t.Fatal(err)
	}
	out, err := project(text)
	if err != nil {
		t.Fatal(err)
	}
	got := render(t, out)
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatalf("%v; run the test with -update and read what it writes", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("differs from %s; got:\n%s", golden, got)
	}
	again, err := project(text)
	if err != nil {
		t.Fatal(err)
	}
	if second := render(t, again); !bytes.Equal(got, second) {
		t.Errorf("a second projection of the same object differs:\n%s", second)
	}
}

// render writes a golden file without the fields that have their zero value.
func render(t *testing.T, out output) []byte {
	t.Helper()
	text, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := json.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	row := trim(tree["Row"])
	trim(tree)
	tree["Row"] = row
	text, err = yaml.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func trim(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if e = trim(e); e == nil {
				delete(v, k)
			} else {
				v[k] = e
			}
		}
		return v
	case []any:
		for i := range v {
			v[i] = trim(v[i])
		}
	case string:
		if v == "" {
			return nil
		}
	case bool:
		if !v {
			return nil
		}
	case float64:
		if v == 0 {
			return nil
		}
	}
	return v
}

// TestUnusedMetadata: what the mesh does not use cannot change a row, or every
// annotation would wake the mesh.
func TestUnusedMetadata(t *testing.T) {
	for kind, project := range kinds {
		inputs, err := filepath.Glob(filepath.Join("testdata", kind, "*.in.yaml"))
		if err != nil || len(inputs) == 0 {
			t.Fatalf("no inputs for %s (%v)", kind, err)
		}
		for _, input := range inputs {
			text, err := os.ReadFile(input)
			if err != nil {
				t.Fatal(err)
			}
			var tree map[string]any
			if err := yaml.Unmarshal(text, &tree); err != nil {
				t.Fatal(err)
			}
			meta := tree["metadata"].(map[string]any)
			annotations, _ := meta["annotations"].(map[string]any)
			if annotations == nil {
				annotations = map[string]any{}
			}
			annotations["note"] = "changed"
			meta["annotations"] = annotations
			meta["resourceVersion"], meta["generation"], meta["uid"] = "12345", 7, "another"
			meta["managedFields"] = []any{map[string]any{"manager": "somebody"}}
			changed, err := yaml.Marshal(tree)
			if err != nil {
				t.Fatal(err)
			}
			before, err1 := project(text)
			after, err2 := project(changed)
			if err1 != nil || err2 != nil {
				t.Fatal(err1, err2)
			}
			a, b := render(t, before), render(t, after)
			if !bytes.Equal(a, b) {
				t.Errorf("%s: metadata that is not used changed the row:\n%s\n%s", input, a, b)
			}
		}
	}
}
