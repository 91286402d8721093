// SPDX-License-Identifier: Apache-2.0

package profile_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/platform"
	"github.com/meshwright/meshwright/internal/profile"
)

func TestNames(t *testing.T) {
	if diff := cmp.Diff([]string{"default", "demo", "empty", "minimal", "openshift", "preview", "production"}, profile.Names()); diff != "" {
		t.Errorf("names differ (-want +got):\n%s", diff)
	}
}

func TestResolveUnknown(t *testing.T) {
	for _, name := range []string{"productive", "base", "../secret", "Demo"} {
		_, err := profile.Resolve(v1alpha1.MeshOperatorSpec{Profile: name})
		var unknown *profile.UnknownError
		if !errors.As(err, &unknown) {
			t.Fatalf("%s: got %v, want an UnknownError", name, err)
		}
		for _, known := range append(profile.Names(), name) {
			if !strings.Contains(err.Error(), known) {
				t.Errorf("%s: error %q does not name %s", name, err, known)
			}
		}
	}
}

// TestRemoteHasARemedy: who comes from Istio with a profile for a cluster without a control plane is told what to do.
func TestRemoteHasARemedy(t *testing.T) {
	_, err := profile.Resolve(v1alpha1.MeshOperatorSpec{Profile: "remote"})
	var unknown *profile.UnknownError
	if !errors.As(err, &unknown) || !strings.Contains(err.Error(), "install a control plane in each cluster") {
		t.Errorf("got %v", err)
	}
}

func TestResolveNothingMeansDefault(t *testing.T) {
	nothing, err := profile.Resolve(v1alpha1.MeshOperatorSpec{})
	if err != nil {
		t.Fatal(err)
	}
	named, err := profile.Resolve(v1alpha1.MeshOperatorSpec{Profile: profile.Default})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(named, nothing); diff != "" {
		t.Errorf("differs from profile default:\n%s", diff)
	}
}

func TestResolveUserWins(t *testing.T) {
	three, empty := int32(3), ""
	got, err := profile.Resolve(v1alpha1.MeshOperatorSpec{
		Profile:    "demo",
		MeshConfig: &v1alpha1.MeshConfig{AccessLogFile: &empty},
		Components: &v1alpha1.Components{ControlPlane: &v1alpha1.ControlPlane{Workload: v1alpha1.Workload{
			Autoscaling: &v1alpha1.Autoscaling{Max: 4},
		}}},
		Gateways: &v1alpha1.Gateways{
			Ingress: []v1alpha1.Gateway{{Name: "other"}, {Name: "istio-ingressgateway", Workload: v1alpha1.Workload{Replicas: &three}}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got.MeshConfig.AccessLogFile == nil || *got.MeshConfig.AccessLogFile != "" {
		t.Errorf("access log is %v, want it off", got.MeshConfig.AccessLogFile)
	}
	if got.MeshConfig.TrustDomain != "cluster.local" {
		t.Errorf("trust domain is %q, want that of the base", got.MeshConfig.TrustDomain)
	}
	controlPlane := got.Components.ControlPlane
	if controlPlane.Replicas != nil || controlPlane.Autoscaling.Max != 4 {
		t.Errorf("autoscaling does not replace the profile's replicas: %+v", controlPlane.Workload)
	}
	if controlPlane.Enabled == nil || !*controlPlane.Enabled {
		t.Error("the control plane is not enabled")
	}
	var names []string
	for _, g := range got.Gateways.Ingress {
		names = append(names, g.Name)
	}
	if !slices.Equal(names, []string{"istio-ingressgateway", "other"}) {
		t.Errorf("gateways are %v", names)
	}
	if first := got.Gateways.Ingress[0]; *first.Replicas != 3 || first.Resources == nil {
		t.Errorf("the profile's gateway is not merged: %+v", first.Workload)
	}
	if len(got.Gateways.Egress) != 1 {
		t.Errorf("egress gateways: %+v", got.Gateways.Egress)
	}
}

func TestResolveReplicasReplaceAutoscaling(t *testing.T) {
	two := int32(2)
	got, err := profile.Resolve(v1alpha1.MeshOperatorSpec{
		Profile:    "default",
		Components: &v1alpha1.Components{ControlPlane: &v1alpha1.ControlPlane{Workload: v1alpha1.Workload{Replicas: &two}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if w := got.Components.ControlPlane.Workload; w.Autoscaling != nil || *w.Replicas != 2 {
		t.Errorf("got %+v", w)
	}
}

// TestPlatforms: every platform's file is of a platform, is read, and lies under
// what the user says.
func TestPlatforms(t *testing.T) {
	files, err := filepath.Glob("platforms/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no platforms: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		if !slices.Contains(platform.Names(), name) {
			t.Errorf("%s is of no platform", file)
		}
		plain, err := profile.Resolve(v1alpha1.MeshOperatorSpec{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := profile.Resolve(v1alpha1.MeshOperatorSpec{Platform: v1alpha1.Platform(name)})
		if err != nil {
			t.Fatal(err)
		}
		if got.Platform != v1alpha1.Platform(name) {
			t.Errorf("%s: the platform is %q", name, got.Platform)
		}
		got.Platform = ""
		if cmp.Equal(plain, got) {
			t.Errorf("%s settles nothing", file)
		}
	}
	said, err := profile.Resolve(v1alpha1.MeshOperatorSpec{
		Platform: platform.OpenShift,
		Values:   &v1alpha1.ChartValues{ControlPlane: &apiextensionsv1.JSON{Raw: []byte(`{"assignedUser":false,"replicas":4}`)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(`{"assignedUser":false,"cni":{"network":"default/meshwright-cni"},"replicas":4}`, string(said.Values.ControlPlane.Raw)); diff != "" {
		t.Errorf("what the user says differs:\n%s", diff)
	}
	if diff := cmp.Diff(`{"assignedUser":true}`, string(said.Values.Gateway.Raw)); diff != "" {
		t.Errorf("what the user leaves open differs:\n%s", diff)
	}
}

// TestPlatformNames: the API has the same platforms.
func TestPlatformNames(t *testing.T) {
	source, err := os.ReadFile("../../api/operator/v1alpha1/settings.go")
	if err != nil {
		t.Fatal(err)
	}
	if want := "Enum=" + strings.Join(platform.Names(), ";"); !strings.Contains(string(source), want) {
		t.Errorf("the API has no %s", want)
	}
}
