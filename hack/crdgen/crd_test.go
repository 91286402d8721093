// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
)

const chart = "../../charts/base/files/crds"

// TestChartIsCurrent fails when the chart holds other definitions than the
// generator writes: make generate writes them.
func TestChartIsCurrent(t *testing.T) {
	fresh := t.TempDir()
	if err := generate(fresh); err != nil {
		t.Fatal(err)
	}
	want := files(t, fresh)
	for _, group := range []string{networking, security, telemetry, extensions} {
		stale, err := filepath.Glob(filepath.Join(chart, group+"_*.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range stale {
			if !slices.Contains(want, filepath.Base(name)) {
				t.Errorf("%s is of no kind", name)
			}
		}
	}
	for _, name := range want {
		a, err := os.ReadFile(filepath.Join(fresh, name))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(chart, name))
		if err != nil {
			t.Errorf("run make generate: %v", err)
			continue
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s is stale: run make generate", name)
		}
	}
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// TestGenerateRemovesFormerKinds and leaves the files of others alone.
func TestGenerateRemovesFormerKinds(t *testing.T) {
	dir := t.TempDir()
	former, foreign := filepath.Join(dir, networking+"_formers.yaml"), filepath.Join(dir, "operator.meshwright.dev_meshoperators.yaml")
	for _, name := range []string{former, foreign} {
		if err := os.WriteFile(name, []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := generate(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(former); !os.IsNotExist(err) {
		t.Errorf("the file of a kind that is no more is still there: %v", err)
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Error(err)
	}
}

// TestDefinitionsAreValid runs the checks of an API server: names, versions,
// structural schemas, and what the rules cost.
func TestDefinitionsAreValid(t *testing.T) {
	for _, k := range kinds() {
		t.Run(k.name, func(t *testing.T) {
			for _, problem := range validation.ValidateCustomResourceDefinition(context.Background(), internal(t, k)) {
				t.Error(problem)
			}
		})
	}
}

// internal is the definition as an API server holds it.
func internal(t *testing.T, k kind) *apiextensions.CustomResourceDefinition {
	t.Helper()
	crd, err := definition(k)
	if err != nil {
		t.Fatal(err)
	}
	apiextensionsv1.SetDefaults_CustomResourceDefinition(crd)
	apiextensionsv1.SetDefaults_CustomResourceDefinitionSpec(&crd.Spec)
	out := &apiextensions.CustomResourceDefinition{}
	if err := apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(crd, out, nil); err != nil {
		t.Fatal(err)
	}
	for _, v := range out.Spec.Versions {
		if v.Storage {
			out.Status.StoredVersions = []string{v.Name}
		}
	}
	return out
}

// TestVersions: what users and tools find by kubectl and by discovery.
func TestVersions(t *testing.T) {
	three, two := []string{"v1", "v1beta1", "v1alpha3"}, []string{"v1", "v1beta1"}
	want := map[string][]string{ // the first is stored
		"VirtualService": three, "DestinationRule": three, "Gateway": three, "ServiceEntry": three,
		"Sidecar": three, "WorkloadEntry": three, "WorkloadGroup": three,
		"EnvoyFilter": {"v1alpha3"}, "ProxyConfig": {"v1beta1"},
		"AuthorizationPolicy": two, "PeerAuthentication": two, "RequestAuthentication": two,
		"Telemetry":  {"v1alpha1", "v1"},
		"WasmPlugin": {"v1alpha1"}, "TrafficExtension": {"v1alpha1"},
	}
	for _, k := range kinds() {
		crd, err := definition(k)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, v := range crd.Spec.Versions {
			if v.Storage != (len(got) == 0) || !v.Served || v.Subresources.Status == nil {
				t.Errorf("%s %s: storage %v, served %v, status %v", k.name, v.Name, v.Storage, v.Served, v.Subresources.Status)
			}
			got = append(got, v.Name)
		}
		if !slices.Equal(got, want[k.name]) {
			t.Errorf("%s has %v, want %v", k.name, got, want[k.name])
		}
		delete(want, k.name)
	}
	for name := range want {
		t.Errorf("%s is not generated", name)
	}
}

// TestAmendRefusesUnknownFields: a rule about a field that a new release of
// istio.io/api does not have stops the generator instead of vanishing.
func TestAmendRefusesUnknownFields(t *testing.T) {
	k := virtualService()
	for _, r := range []rule{
		{path: "http[].routes[].weight", cel: "true"},
		{path: "hosts[].x", cel: "true"},
		{path: "timeout[]", cel: "true"},
		{path: "", cel: "true", field: "host"},
	} {
		k.rules = []rule{r}
		if _, err := definition(k); err == nil {
			t.Errorf("path %q, field %q: no error", r.path, r.field)
		}
	}
}
