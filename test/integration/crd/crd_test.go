// SPDX-License-Identifier: Apache-2.0

//go:build integration

// Package crd_test shows to a real API server the definitions of the Istio APIs
// that the chart installs.
package crd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/meshwright/meshwright/test/integration/apiserver"
)

const (
	definitions = "../../../charts/base/files/crds"
	samples     = "../../../hack/crdgen/testdata"
	namespace   = "default"
)

var client dynamic.Interface

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	// Start returns only when every definition is established.
	server, err := apiserver.Start(apiserver.Options{CRDs: istio()})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() {
		if err := server.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
	client = dynamic.NewForConfigOrDie(server.Config)
	return m.Run()
}

// istio is the files of the definitions.
func istio() []string {
	files, err := filepath.Glob(filepath.Join(definitions, "*.istio.io_*.yaml"))
	if err != nil {
		panic(err) // the pattern is bad
	}
	return files
}

func definition(t *testing.T, name string) *apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	out := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(text, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func resource(crd *apiextensionsv1.CustomResourceDefinition, version string) dynamic.ResourceInterface {
	return client.Resource(schema.GroupVersionResource{Group: crd.Spec.Group, Version: version, Resource: crd.Spec.Names.Plural}).Namespace(namespace)
}

// sample reads the documents of a kind as objects of a version; refused maps
// the name of an object to the field that its refusal names.
func sample(t *testing.T, dir string, crd *apiextensionsv1.CustomResourceDefinition, version string) (out []*unstructured.Unstructured, refused map[string]string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(samples, dir, crd.Spec.Names.Kind+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	refused = map[string]string{}
	for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
		object := &unstructured.Unstructured{}
		asJSON, err := yaml.YAMLToJSONStrict(document)
		if err != nil {
			t.Fatal(err)
		}
		var tree map[string]any
		if err := json.Unmarshal(asJSON, &tree); err != nil {
			t.Fatal(err)
		}
		object.Object = tree
		if path, ok := tree["refused"].(string); ok {
			refused[object.GetName()] = path
			delete(tree, "refused")
		}
		object.SetAPIVersion(crd.Spec.Group + "/" + version)
		object.SetKind(crd.Spec.Names.Kind)
		out = append(out, object)
	}
	return out, refused
}

// TestSamplesAreStored creates each sample in each served version, strictly, and
// reads it back in every other.
func TestSamplesAreStored(t *testing.T) {
	for _, name := range istio() {
		crd := definition(t, name)
		for _, written := range crd.Spec.Versions {
			objects, _ := sample(t, "accepted", crd, written.Name)
			for _, object := range objects {
				t.Run(crd.Spec.Names.Kind+"/"+written.Name+"/"+object.GetName(), func(t *testing.T) {
					stored(t, crd, written.Name, object)
				})
			}
		}
	}
}

func stored(t *testing.T, crd *apiextensionsv1.CustomResourceDefinition, version string, object *unstructured.Unstructured) {
	ctx := context.Background()
	at := resource(crd, version)
	made, err := at.Create(ctx, object, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := at.Delete(ctx, object.GetName(), metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	if status, ok := object.Object["status"]; ok {
		made.Object["status"] = status
		if _, err := at.UpdateStatus(ctx, made, metav1.UpdateOptions{FieldValidation: metav1.FieldValidationStrict}); err != nil {
			t.Fatal(err)
		}
	}
	for _, read := range crd.Spec.Versions {
		got, err := resource(crd, read.Name).Get(ctx, object.GetName(), metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{"spec", "status"} {
			if diff := cmp.Diff(normal(t, object.Object[part]), normal(t, got.Object[part])); diff != "" {
				t.Errorf("%s read as %s: %s", part, read.Name, diff)
			}
		}
	}
}

// normal has one type for all numbers.
func normal(t *testing.T, v any) any {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestMistakesAreRefused in every served version, with the path of the field.
func TestMistakesAreRefused(t *testing.T) {
	for _, name := range istio() {
		crd := definition(t, name)
		for _, version := range crd.Spec.Versions {
			objects, refused := sample(t, "refused", crd, version.Name)
			for _, object := range objects {
				t.Run(crd.Spec.Names.Kind+"/"+version.Name+"/"+object.GetName(), func(t *testing.T) {
					_, err := resource(crd, version.Name).Create(context.Background(), object, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
					if !apierrors.IsInvalid(err) {
						t.Fatalf("want a refusal as invalid, got %v", err)
					}
					if path := refused[object.GetName()]; !strings.Contains(err.Error(), path) {
						t.Errorf("the refusal does not name %s: %v", path, err)
					}
				})
			}
		}
	}
}
