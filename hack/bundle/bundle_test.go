// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/operator-framework/api/pkg/manifests"
	"github.com/operator-framework/api/pkg/operators/v1alpha1"
	"github.com/operator-framework/api/pkg/validation"
	"github.com/operator-framework/api/pkg/validation/errors"
	"sigs.k8s.io/yaml"
)

const root = "../.."

func digest(c string) string { return "sha256:" + strings.Repeat(c, 64) }

// digestsOf writes what hack/images writes.
func digestsOf(t *testing.T, reference func(image string) string) string {
	t.Helper()
	dir := t.TempDir()
	for i, image := range runtimeImages {
		text := reference(image) + "@" + digest(string("abcd"[i])) + "\n"
		if err := os.WriteFile(filepath.Join(dir, image+".digest"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func pinned(t *testing.T) release {
	t.Helper()
	r := release{registry: "registry.example/mesh"}
	if err := r.readDigests(digestsOf(t, func(image string) string { return "registry.example/mesh/" + image + ":v7" })); err != nil {
		t.Fatal(err)
	}
	return r
}

// laid writes a release to a directory.
func laid(t *testing.T, r release) (string, map[string][]byte) {
	t.Helper()
	s, err := readSources(root, r)
	if err != nil {
		t.Fatal(err)
	}
	files, err := layout(s)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := write(dir, files); err != nil {
		t.Fatal(err)
	}
	return dir, files
}

// accepted are words of warnings that are true and stay.
var accepted = []string{
	// It is written by the operator alone, and internal-objects keeps consoles from offering it.
	"Kind=MeshRevision: provided API should have an example annotation",
	// The APIs are alpha, and so is their channel.
	`channel(s) ["alpha"] are not following the recommended naming convention`,
	// The CRDs of the Istio APIs belong to the mesh and its version: a cluster may have them from another mesh already,
	// and they outlive the operator.
	"CSV contains permissions to create CRD",
	// Its table of removed versions goes by the names of resources and knows no groups' versions, which roles do not name.
	"this bundle is using APIs which were deprecated and removed in v1.25",
}

// TestValidators asks the validators of the operator framework, those that operatorhub.io asks among them.
func TestValidators(t *testing.T) {
	for name, r := range map[string]release{"tags": {registry: defaultRegistry}, "digests": pinned(t)} {
		dir, _ := laid(t, r)
		bundle, err := manifests.GetBundleFromDir(filepath.Join(dir, "bundle"))
		if err != nil {
			t.Fatal(err)
		}
		if bundle.Package != operatorName || bundle.DefaultChannel != channel {
			t.Errorf("%s: package %q, channel %q", name, bundle.Package, bundle.DefaultChannel)
		}
		var results []errors.ManifestResult
		for _, validator := range validation.DefaultBundleValidators {
			results = append(results, validator.Validate(bundle.ObjectsToValidate()...)...)
		}
		hub := validation.DefaultBundleValidators.WithValidators(validation.OperatorHubV2Validator, validation.StandardCapabilitiesValidator,
			validation.StandardCategoriesValidator, validation.ObjectValidator, validation.GoodPracticesValidator)
		results = append(results, hub.Validate(bundle, map[string]string{"k8s-version": bundle.CSV.Spec.MinKubeVersion})...)
		if len(results) < 5 {
			t.Fatalf("%s: only %d results", name, len(results))
		}
		for _, result := range results {
			for _, problem := range append(result.Errors, result.Warnings...) {
				if !slices.ContainsFunc(accepted, func(words string) bool {
					return problem.Level == errors.LevelWarn && strings.Contains(problem.Error(), words)
				}) {
					t.Errorf("%s: %s: %s", name, result.Name, problem.Error())
				}
			}
		}
	}
}

// TestValidatorsRefuse: the validators above see the bundle that they are given.
func TestValidatorsRefuse(t *testing.T) {
	dir, _ := laid(t, release{registry: defaultRegistry})
	bundle, err := manifests.GetBundleFromDir(filepath.Join(dir, "bundle"))
	if err != nil {
		t.Fatal(err)
	}
	bundle.CSV.Spec.CustomResourceDefinitions.Owned = bundle.CSV.Spec.CustomResourceDefinitions.Owned[1:]
	bundle.CSV.Annotations["capabilities"] = "All of them"
	for _, validator := range []interface {
		Validate(...any) []errors.ManifestResult
	}{validation.BundleValidator, validation.StandardCapabilitiesValidator} {
		found := 0
		for _, result := range validator.Validate(bundle) {
			found += len(result.Errors)
		}
		if found == 0 {
			t.Error("a bundle with a mistake passes")
		}
	}
}

func service(t *testing.T, files map[string][]byte) v1alpha1.ClusterServiceVersion {
	t.Helper()
	var out v1alpha1.ClusterServiceVersion
	if err := yaml.UnmarshalStrict(files["bundle/manifests/"+operatorName+".clusterserviceversion.yaml"], &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestPinned: with digests, no image of the bundle is named by a tag, and what the operator installs is what
// relatedImages lists.
func TestPinned(t *testing.T) {
	_, files := laid(t, pinned(t))
	csv := service(t, files)
	if csv.Annotations["features.operators.openshift.io/disconnected"] != "true" {
		t.Error("it does not say that it can be mirrored")
	}
	container := csv.Spec.InstallStrategy.StrategySpec.DeploymentSpecs[0].Spec.Template.Spec.Containers[0]
	if want := "registry.example/mesh/operator@" + digest("a"); container.Image != want {
		t.Errorf("the operator's image is %s, want %s", container.Image, want)
	}
	args := strings.Join(container.Args, " ")
	for _, want := range []string{
		"--image-registry=registry.example/mesh", "--image-tag=v7", "--image-digest=controlplane=" + digest("b"), "--image-digest=proxy=" + digest("c"), "--image-digest=cni=" + digest("d"),
	} {
		if !strings.Contains(args, want) {
			t.Errorf("arguments %s: no %s", args, want)
		}
	}
	for _, image := range csv.Spec.RelatedImages {
		if !strings.Contains(image.Image, "@sha256:") {
			t.Errorf("related image %s is %s", image.Name, image.Image)
		}
	}
	for name, content := range files {
		if strings.HasPrefix(name, "config/olm/") && !bytes.Contains(content, []byte("image: registry.example/mesh/operator-catalog@sha256:")) {
			t.Errorf("%s names no digest:\n%s", name, content)
		}
	}
}

// TestTags: the bundle of the repository does not promise what only digests can.
func TestTags(t *testing.T) {
	_, files := laid(t, release{registry: defaultRegistry})
	csv := service(t, files)
	if csv.Annotations["features.operators.openshift.io/disconnected"] != "false" {
		t.Error("it says that it can be mirrored")
	}
	for _, image := range csv.Spec.RelatedImages {
		if !strings.HasSuffix(image.Image, ":v"+csv.Spec.Version.String()) {
			t.Errorf("related image %s is %s", image.Name, image.Image)
		}
	}
	if len(csv.Spec.WebhookDefinitions) > 0 {
		t.Error("OLM would narrow webhooks to the namespaces of the OperatorGroup")
	}
	if args := csv.Spec.InstallStrategy.StrategySpec.DeploymentSpecs[0].Spec.Template.Spec.Containers[0].Args; strings.Contains(strings.Join(args, " "), "namespace") {
		t.Errorf("arguments %v: OLM decides the namespace", args)
	}
}

func TestDigestsOfAnotherRelease(t *testing.T) {
	r := release{registry: "registry.example/mesh", tag: "v8"}
	err := r.readDigests(digestsOf(t, func(image string) string { return "registry.example/mesh/" + image + ":v7" }))
	if err == nil || !strings.Contains(err.Error(), "registry.example/mesh/operator:v7") {
		t.Errorf("got %v", err)
	}
	r = release{registry: "registry.example/mesh"}
	if err := r.readDigests(t.TempDir()); err == nil || !strings.Contains(err.Error(), "make images") {
		t.Errorf("got %v", err)
	}
}

// TestCatalog: both packages lead to the same bundle, as opm demands it.
func TestCatalog(t *testing.T) {
	_, files := laid(t, release{registry: defaultRegistry})
	csv := service(t, files)
	for _, pkg := range packages {
		found := map[string]map[string]any{}
		for _, part := range strings.Split(string(files["bundle/catalog/"+pkg+"/catalog.yaml"]), "\n---\n") {
			blob := map[string]any{}
			if err := yaml.Unmarshal([]byte(part), &blob); err != nil {
				t.Fatal(err)
			}
			found[blob["schema"].(string)] = blob
		}
		if p := found["olm.package"]; p["name"] != pkg || p["defaultChannel"] != "alpha" {
			t.Errorf("%s: olm.package is %v", pkg, p)
		}
		if entries := found["olm.channel"]["entries"].([]any); len(entries) != 1 || entries[0].(map[string]any)["name"] != csv.Name || found["olm.channel"]["package"] != pkg {
			t.Errorf("%s: olm.channel is %v", pkg, found["olm.channel"])
		}
		bundle := found["olm.bundle"]
		if bundle["name"] != csv.Name || bundle["package"] != pkg || bundle["image"] != "ghcr.io/meshwright/operator-bundle:v0.1.0" {
			t.Errorf("%s: olm.bundle is %v", pkg, bundle)
		}
		kinds := 0
		for _, p := range bundle["properties"].([]any) {
			value := p.(map[string]any)["value"].(map[string]any)
			switch p.(map[string]any)["type"] {
			case "olm.package":
				if value["packageName"] != pkg || value["version"] != csv.Spec.Version.String() {
					t.Errorf("%s: property olm.package is %v", pkg, value)
				}
			case "olm.gvk":
				kinds++
			}
		}
		if want := len(csv.Spec.CustomResourceDefinitions.Owned); kinds != want {
			t.Errorf("%s: %d kinds, want %d", pkg, kinds, want)
		}
	}
}

// TestFits: OLM keeps an unpacked bundle in a ConfigMap, compressed and in base64, which holds 1 MiB.
func TestFits(t *testing.T) {
	_, files := laid(t, release{registry: defaultRegistry})
	size := 0
	for name, content := range below(files, "bundle/manifests/", "") {
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		if _, err := w.Write(content); err != nil || w.Close() != nil {
			t.Fatal(name, err)
		}
		size += base64.StdEncoding.EncodedLen(out.Len())
	}
	if size > 900<<10 {
		t.Errorf("the bundle takes %d KiB", size>>10)
	}
	t.Logf("%d KiB", size>>10)
}

// TestImages: equal files give an equal image, and it holds what its label says.
func TestImages(t *testing.T) {
	_, files := laid(t, release{registry: defaultRegistry})
	image, err := bundleImage(files)
	if err != nil {
		t.Fatal(err)
	}
	again, err := bundleImage(files)
	if err != nil {
		t.Fatal(err)
	}
	one, _ := image.Digest()
	two, _ := again.Digest()
	if one != two {
		t.Errorf("digests %s and %s", one, two)
	}
	layers, err := image.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	reader, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"manifests/" + operatorName + ".clusterserviceversion.yaml", "metadata/annotations.yaml"} {
		if !bytes.Contains(plain, []byte(want)) {
			t.Errorf("no %s in the image", want)
		}
	}
	config, err := image.ConfigFile()
	if err != nil || config.Config.Labels["operators.operatorframework.io.bundle.package.v1"] != operatorName {
		t.Errorf("labels %v, %v", config.Config.Labels, err)
	}
}
