// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/meshwright/meshwright/internal/helm"
	"github.com/meshwright/meshwright/internal/revision"
)

// sources are what the bundle is made from.
type sources struct {
	release
	// version is the operator's, without the v.
	version string
	// minKube is the oldest version of Kubernetes that the chart takes.
	minKube string
	// role is what the operator may do, deployment how it runs.
	role       rbacv1.ClusterRole
	deployment appsv1.Deployment
	// others are the chart's objects that go into the bundle as they are.
	others []*unstructured.Unstructured
	// definitions are the CRDs, texts the same as the files have them.
	definitions []apiextensionsv1.CustomResourceDefinition
	texts       map[string][]byte
	// samples are objects for users to begin with.
	samples []map[string]any
	icon    []byte
}

// readSources reads the charts, CRDs and samples of a checkout.
func readSources(root string, r release) (sources, error) {
	s := sources{release: r, version: strings.TrimPrefix(revision.Version, "v"), texts: map[string][]byte{}}
	if s.tag == "" {
		s.tag = revision.Version
	}
	var err error
	if s.icon, err = os.ReadFile(filepath.Join(root, "hack", "bundle", "icon.svg")); err != nil {
		return sources{}, fmt.Errorf("read the icon: %w", err)
	}
	for _, step := range []func(string) error{s.readChart, s.readDefinitions, s.readSamples} {
		if err := step(root); err != nil {
			return sources{}, err
		}
	}
	return s, nil
}

func (s *sources) readChart(root string) error {
	text, err := os.ReadFile(filepath.Join(root, "charts", "operator", "Chart.yaml"))
	if err != nil {
		return fmt.Errorf("read the operator's chart: %w", err)
	}
	var chart struct {
		KubeVersion string `json:"kubeVersion"`
	}
	if err := yaml.Unmarshal(text, &chart); err != nil {
		return fmt.Errorf("decode the operator's chart: %w", err)
	}
	s.minKube = strings.TrimSuffix(strings.TrimPrefix(chart.KubeVersion, ">="), "-0")

	charts, err := helm.Load(os.DirFS(filepath.Join(root, "charts")))
	if err != nil {
		return err
	}
	objects, err := charts.Render(helm.Release{
		Chart: "operator", Name: "meshwright", Namespace: suggestedNamespace,
		Values: map[string]any{
			"crds":  map[string]any{"enabled": false},
			"image": map[string]any{"registry": s.registry, "tag": s.tag},
		},
	}, "")
	if err != nil {
		return err
	}
	for _, object := range objects {
		if err := s.take(object); err != nil {
			return fmt.Errorf("%s %s of the operator's chart: %w", object.GetKind(), object.GetName(), err)
		}
	}
	if s.role.Name == "" || s.deployment.Name == "" {
		return fmt.Errorf("the operator's chart has no Deployment or no ClusterRole of its name")
	}
	return nil
}

// take puts an object of the chart where it belongs: OLM makes the ServiceAccount and the binding itself.
func (s *sources) take(object *unstructured.Unstructured) error {
	labels := object.GetLabels()
	labels["app.kubernetes.io/managed-by"] = "olm"
	delete(labels, "helm.sh/chart")
	object.SetLabels(labels)
	switch {
	case object.GetKind() == "ServiceAccount", object.GetKind() == "ClusterRoleBinding":
		return nil
	case object.GetKind() == "Deployment":
		return runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &s.deployment)
	case object.GetKind() == "ClusterRole" && object.GetName() == operatorName:
		return runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &s.role)
	}
	// OLM puts it where the operator is.
	unstructured.RemoveNestedField(object.Object, "metadata", "namespace")
	s.others = append(s.others, object)
	return nil
}

func (s *sources) readDefinitions(root string) error {
	files, err := filepath.Glob(filepath.Join(root, "charts", "operator", "files", "crds", "*.yaml"))
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("read CRD: %w", err)
		}
		definition := apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(text, &definition); err != nil {
			return fmt.Errorf("decode %s: %w", file, err)
		}
		s.definitions = append(s.definitions, definition)
		s.texts[filepath.Base(file)] = text
	}
	if len(files) == 0 {
		return fmt.Errorf("no CRDs in charts/operator/files/crds; run hack/generate.sh")
	}
	return nil
}

func (s *sources) readSamples(root string) error {
	files, err := filepath.Glob(filepath.Join(root, "config", "samples", "*.yaml"))
	if err != nil {
		return err
	}
	for _, file := range files {
		if filepath.Base(file) == "kustomization.yaml" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("read sample: %w", err)
		}
		sample := map[string]any{}
		if err := yaml.Unmarshal(text, &sample); err != nil {
			return fmt.Errorf("decode %s: %w", file, err)
		}
		s.samples = append(s.samples, sample)
	}
	return nil
}
