// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/meshwright/meshwright/internal/cli/census"
	"github.com/meshwright/meshwright/internal/cli/difference"
	"github.com/meshwright/meshwright/internal/cli/printer"
)

var update = flag.Bool("update", false, "write the golden files")

// golden holds a text against a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got); run with -update if that is meant:\n%s", file, diff)
	}
}

// meshctl runs a command as main does.
func meshctl(t *testing.T, stdin string, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = Run(context.Background(), args, Streams{In: strings.NewReader(stdin), Out: &o, Err: &e})
	return code, o.String(), e.String()
}

// TestGolden holds what commands print that need no cluster.
func TestGolden(t *testing.T) {
	for name, args := range map[string][]string{
		"version.txt":  {"version", "--client"},
		"version.json": {"version", "--client", "-o", "json"},
		"version.yaml": {"version", "--client", "-o", "yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errs := meshctl(t, "", args...)
			if code != codeDone || errs != "" {
				t.Errorf("code %d: %s", code, errs)
			}
			golden(t, name, out)
		})
	}
}

// TestProfiles: each is listed with what it is for, and can be shown with the
// charts' values.
func TestProfiles(t *testing.T) {
	code, out, errs := meshctl(t, "", "profile", "list", "-o", "json")
	var all []described
	if err := json.Unmarshal([]byte(out), &all); err != nil || code != codeDone {
		t.Fatalf("code %d: %s: %v", code, errs, err)
	}
	if len(all) < 5 {
		t.Fatalf("there are %v", all)
	}
	for _, p := range all {
		if len(p.Description) < 20 {
			t.Errorf("profile %s does not say what it is for: %q", p.Name, p.Description)
		}
		if code, out, errs := meshctl(t, "", "profile", "dump", p.Name); code != codeDone || !strings.Contains(out, "profile: "+p.Name+"\n") {
			t.Errorf("profile %s: code %d: %s%s", p.Name, code, out, errs)
		}
	}
	code, out, errs = meshctl(t, "", "profile", "dump", "-f", "testdata/mesh.in.yaml", "--set", "gateways.ingress[0].replicas=3", "-o", "json")
	for _, want := range []string{`"trustDomain": "shop.example.org"`, `"replicas": 3`, `"name": "istio-egressgateway"`} {
		if code != codeDone || !strings.Contains(out, want) {
			t.Errorf("code %d: %s: no %s in %s", code, errs, want, out)
		}
	}
	if code, out, errs := meshctl(t, "", "profile", "dump", "demo", "--values"); code != codeDone || !strings.Contains(out, "chart: gateway") {
		t.Errorf("code %d: %s%s", code, out, errs)
	}
	if code, out, _ := meshctl(t, "", "profile", "list"); code != codeDone || !strings.Contains(out, "\ndemo ") {
		t.Errorf("code %d: %s", code, out)
	}
}

// TestDiffs end with the code that says that something differs, and name it.
func TestDiffs(t *testing.T) {
	for _, c := range []struct{ args, want []string }{
		{[]string{"profile", "diff", "demo", "minimal"}, []string{"- gateways: {", `~ meshConfig.accessLogFile: "/dev/stdout" -> ""`}},
		{[]string{"manifest", "diff", "testdata/mesh.in.yaml", "testdata/mesh-new.in.yaml"}, []string{
			"~ Deployment istio-system/istio-ingressgateway\n    ~ spec.replicas: 2 -> 3\n",
			`containers[istio-proxy].image: "ghcr.io/meshwright/proxy:v0.1.0" -> "ghcr.io/meshwright/proxy:v0.1.1"`,
			"- Service istio-system/istio-egressgateway\n", "+ Service istio-system/inner\n",
		}},
		{[]string{"manifest", "diff", "testdata/mesh.in.yaml", "testdata/mesh-new.in.yaml", "-o", "json"}, []string{`"operation": "added",`, `"name": "inner"`}},
	} {
		code, out, errs := meshctl(t, "", c.args...)
		if code != codeDiffers || errs != "" {
			t.Errorf("%v: code %d: %s", c.args, code, errs)
		}
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("%v: no %q in:\n%s", c.args, want, out)
			}
		}
	}
	for _, args := range [][]string{
		{"profile", "diff", "demo", "demo"},
		{"manifest", "diff", "testdata/mesh.in.yaml", "testdata/mesh.in.yaml"},
	} {
		if code, out, errs := meshctl(t, "", args...); code != codeDone || out+errs != "" {
			t.Errorf("%v: code %d: %s%s", args, code, out, errs)
		}
	}
	if code, out, _ := meshctl(t, "", "profile", "diff", "demo", "demo", "-o", "json"); code != codeDone || out != "[]\n" {
		t.Errorf("no difference as JSON: code %d: %q", code, out)
	}
}

// TestGenerate: what it prints can be read again, is the same as the file in
// which somebody kept it, and follows the flags.
func TestGenerate(t *testing.T) {
	code, out, errs := meshctl(t, "", "manifest", "generate", "--profile", "demo", "--registry", "registry.example.org/mesh", "--tag", "t1")
	if code != codeDone || errs != "" {
		t.Fatalf("code %d: %s", code, errs)
	}
	objects, err := decodeObjects([]byte(out))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		if o.GetKind() == "Deployment" {
			text, err := yaml.Marshal(o.Object)
			if err != nil || !strings.Contains(string(text), "image: registry.example.org/mesh/") || !strings.Contains(string(text), ":t1\n") {
				t.Errorf("Deployment %s does not have the image of the flags (%v)", o.GetName(), err)
			}
		}
	}
	kept := filepath.Join(t.TempDir(), "kept.yaml")
	if err := os.WriteFile(kept, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, diff, errs := meshctl(t, "", "manifest", "diff", kept, kept); code != codeDone {
		t.Errorf("code %d: %s%s", code, diff, errs)
	}
	code, asJSON, errs := meshctl(t, "", "manifest", "generate", "--profile", "demo", "--registry", "registry.example.org/mesh", "--tag", "t1", "-o", "json")
	if code != codeDone {
		t.Fatalf("code %d: %s", code, errs)
	}
	again := filepath.Join(t.TempDir(), "kept.json")
	if err := os.WriteFile(again, []byte(asJSON), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, diff, errs := meshctl(t, "", "manifest", "diff", kept, again); code != codeDone {
		t.Errorf("YAML and JSON differ: code %d: %s%s", code, diff, errs)
	}
}

// TestGenerateIsWhatTheChartsRender holds what is printed for demo against the
// golden file of the charts, and its order: definitions and namespaces first.
func TestGenerateIsWhatTheChartsRender(t *testing.T) {
	data, err := os.ReadFile("../../charts/testdata/profile-demo.out.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want, err := decodeObjects(data)
	if err != nil || len(want) < 10 {
		t.Fatalf("%d objects: %v", len(want), err)
	}
	code, out, errs := meshctl(t, "", "manifest", "generate", "--profile", "demo", "--kube-version", "v1.36.3")
	if code != codeDone || errs != "" {
		t.Fatalf("code %d: %s", code, errs)
	}
	all, err := decodeObjects([]byte(out))
	if err != nil {
		t.Fatal(err)
	}
	first := slices.IndexFunc(all, func(o *unstructured.Unstructured) bool { return o.GetKind() == "Namespace" })
	if first < 10 || all[first].GetName() != "istio-system" {
		t.Fatalf("object %d is the first namespace", first)
	}
	for i, o := range all {
		if (o.GetKind() == "CustomResourceDefinition") != (i < first) {
			t.Errorf("object %d is a %s", i, o.GetKind())
		}
	}
	got := all[first+1:]
	for _, o := range got {
		labels := o.GetLabels()
		if labels["operator.meshwright.dev/revision"] != "default" || labels["operator.meshwright.dev/component"] == "" {
			t.Errorf("%s %s has the labels %v", o.GetKind(), o.GetName(), labels)
		}
		delete(labels, "operator.meshwright.dev/revision")
		delete(labels, "operator.meshwright.dev/component")
		o.SetLabels(labels)
	}
	for _, o := range difference.Objects(want, got) {
		t.Errorf("%s %s/%s is %s: %v", o.Kind, o.Namespace, o.Name, o.Operation, o.Fields)
	}
}

func TestGenerateOperator(t *testing.T) {
	code, out, errs := meshctl(t, "", "manifest", "generate", "--operator", "--registry", "registry.example.org/mesh")
	if code != codeDone || errs != "" {
		t.Fatalf("code %d: %s", code, errs)
	}
	objects, err := decodeObjects([]byte(out))
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, o := range objects {
		kinds[o.GetKind()]++
		if by := o.GetLabels()["app.kubernetes.io/managed-by"]; o.GetKind() != "Namespace" && by != "meshctl" {
			t.Errorf("%s %s is managed by %q", o.GetKind(), o.GetName(), by)
		}
	}
	if objects[0].GetKind() != "Namespace" || kinds["Deployment"] != 1 || kinds["CustomResourceDefinition"] < 3 || kinds["ClusterRole"] == 0 {
		t.Errorf("there are %v", kinds)
	}
	if !strings.Contains(out, "--image-registry=registry.example.org/mesh") {
		t.Error("the operator installs its meshes from elsewhere")
	}
}

// TestWishes are read from the standard input as well, and what an
// IstioOperator says without effect is told.
func TestWishes(t *testing.T) {
	const iop = "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nspec: {profile: minimal, components: {ztunnel: {enabled: true}}}\n"
	code, out, errs := meshctl(t, iop, "profile", "dump", "-f", "-", "-o", "json")
	if code != codeDone || !strings.Contains(out, `"profile": "minimal"`) {
		t.Errorf("code %d: %s", code, out)
	}
	if !strings.Contains(errs, "no effect: -: spec.components.ztunnel.enabled: there is no ambient mode") {
		t.Errorf("what has no effect is not told: %q", errs)
	}
}

// TestMistakes end with the code of what went wrong, and name it.
func TestMistakes(t *testing.T) {
	for _, c := range []struct {
		args  []string
		stdin string
		code  int
		want  string
	}{
		{[]string{"nonesuch"}, "", codeUsage, `unknown command "nonesuch"`},
		{[]string{"version", "--nonesuch"}, "", codeUsage, "unknown flag: --nonesuch"},
		{[]string{"version", "extra"}, "", codeUsage, "extra"},
		{[]string{"version", "--client", "-o", "wide"}, "", codeUsage, "there are table, json and yaml"},
		{[]string{"profile", "diff", "demo"}, "", codeUsage, "accepts 2 arg"},
		{[]string{"profile", "dump", "nonesuch"}, "", codeFailed, "known profiles are"},
		{[]string{"manifest", "generate", "--set", "nonesuch=1"}, "", codeUsage, `unknown field "nonesuch"`},
		{[]string{"manifest", "generate", "--set", "a["}, "", codeUsage, "--set a["},
		{[]string{"manifest", "generate", "-f", "testdata/nonesuch"}, "", codeUsage, "testdata/nonesuch"},
		{[]string{"manifest", "generate", "-f", "-"}, "# nothing\n---\n", codeUsage, "no object"},
		{[]string{"manifest", "generate", "-f", "-"}, "apiVersion: v1\nkind: Pod\n", codeUsage, "it holds v1 Pod"},
		{[]string{"manifest", "generate", "-f", "-"}, "apiVersion: operator.meshwright.dev/v1alpha1\nkind: MeshOperator\nspec: {profil: demo}\n", codeUsage, `unknown field "profil"`},
		{[]string{"manifest", "generate", "-f", "-"}, "kind: [\n", codeUsage, "-:"},
		{[]string{"manifest", "generate", "--set", "version=v9.9.9"}, "", codeFailed, "v9.9.9"},
		{[]string{"manifest", "generate", "--set", "values.controlplane.logLevel=shouting"}, "", codeFailed, "logLevel"},
		{[]string{"manifest", "generate", "--kube-version", "latest"}, "", codeFailed, `version "latest"`},
		{[]string{"version", "--kubeconfig", "testdata/nonesuch"}, "", codeFailed, "give --kubeconfig"},
	} {
		code, out, errs := meshctl(t, c.stdin, c.args...)
		if code != c.code || !strings.Contains(errs, c.want) || out != "" {
			t.Errorf("%v: code %d, want %d with %q; errors %q, output %.200q", c.args, code, c.code, c.want, errs, out)
		}
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if code, out, errs := meshctl(t, "", "completion", shell); code != codeDone || !strings.Contains(out, "meshctl") {
			t.Errorf("%s: code %d: %s", shell, code, errs)
		}
	}
	code, out, _ := meshctl(t, "", "__complete", "profile", "dump", "")
	if code != codeDone || !strings.Contains(out, "production\n") {
		t.Errorf("profiles are not completed: %s", out)
	}
}

func TestVersionTable(t *testing.T) {
	v := versions{
		Client:    "v0.1.0",
		Operators: []census.Operator{{Namespace: "meshwright-system", Name: "meshwright-operator", Version: "v0.1.0", InstalledBy: "Helm", Ready: 1, Replicas: 1}},
		ControlPlanes: []census.ControlPlane{
			{Revision: "default", Namespace: "istio-system", Version: "v0.1.0", Ready: 2, Replicas: 2, Condition: "True", Told: &census.Told{
				Replicas: 2, Versions: []string{"v0.0.9", "v0.1.0"}, Connected: 42,
			}},
			{Revision: "edge", Namespace: "istio-system", Version: "v0.1.0", Condition: "True"},
		},
		Proxies: []census.Proxies{
			{Kind: census.Gateway, Revision: "default", Version: "v0.1.0", Pods: 1, Namespaces: 1},
			{Kind: census.Sidecar, Revision: "default", Version: "v0.0.9", Pods: 41, Namespaces: 3},
		},
	}
	for name, format := range map[string]printer.Format{"versions.txt": printer.Table, "versions.yaml": printer.YAML} {
		var out bytes.Buffer
		if err := printer.Print(&out, format, v, v.table); err != nil {
			t.Fatal(err)
		}
		golden(t, name, out.String())
	}
	if err := printer.Print(io.Discard, printer.JSON, v, nil); err != nil {
		t.Error(err)
	}
}
