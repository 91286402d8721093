// SPDX-License-Identifier: Apache-2.0

// Command manifests writes config/rbac and config/manager from the chart of
// the operator, so that kubectl apply -k and helm install give the same.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/meshwright/meshwright/internal/helm"
	"github.com/meshwright/meshwright/internal/manifest"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "manifests:", err)
		os.Exit(1)
	}
}

func run() error {
	charts, err := helm.Load(os.DirFS("charts"))
	if err != nil {
		return err
	}
	objects, err := manifest.Operator(charts, manifest.OperatorNamespace, "kustomize", map[string]any{"crds": map[string]any{"enabled": false}})
	if err != nil {
		return err
	}
	files := map[string][]*unstructured.Unstructured{}
	for _, object := range objects {
		name := "manager/manager.yaml"
		if slices.Contains([]string{"ServiceAccount", "ClusterRole", "ClusterRoleBinding"}, object.GetKind()) {
			name = "rbac/rbac.yaml"
		}
		files[name] = append(files[name], object)
	}
	for name, objects := range files {
		if err := write(filepath.Join("config", name), objects); err != nil {
			return err
		}
	}
	return nil
}

func write(name string, objects []*unstructured.Unstructured) error {
	var out bytes.Buffer
	out.WriteString("# Written by go run ./hack/manifests from charts/operator; change that.\n")
	for _, object := range objects {
		data, err := yaml.Marshal(object.Object)
		if err != nil {
			return fmt.Errorf("encode %s: %w", object.GetName(), err)
		}
		out.WriteString("---\n")
		out.Write(data)
	}
	return os.WriteFile(name, out.Bytes(), 0o644)
}
