// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/operator-framework/api/pkg/operators/v1alpha1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// Widgets of consoles.
const (
	text       = "urn:alm:descriptor:text"
	conditions = "urn:alm:descriptor:io.kubernetes.conditions"
	choice     = "urn:alm:descriptor:com.tectonic.ui:select:"
	advanced   = "urn:alm:descriptor:com.tectonic.ui:advanced"
)

// field is a field that consoles show, with the widgets to show it by. What it means stands in the CRD.
type field struct {
	path, title string
	widgets     []string
}

// shown says what consoles show of a kind; a kind that is not in it is shown by its description alone.
var shown = map[string]struct {
	spec, status []field
	resources    []string // kind/version
}{
	"MeshOperator": {
		spec: []field{
			{"profile", "Profile", []string{choice + "default", choice + "production", choice + "demo", choice + "minimal", choice + "empty"}},
			{"version", "Version", []string{text}},
			{"namespace", "Namespace", []string{"urn:alm:descriptor:io.kubernetes:Namespace"}},
			{"revision", "Revision", []string{text, advanced}},
			{"meshConfig", "Settings of the mesh", []string{advanced}},
			{"components", "Control plane", []string{advanced}},
			{"gateways", "Gateways", []string{advanced}},
			{"image", "Images", []string{advanced}},
			{"overlays", "Overlays", []string{advanced}},
		},
		status: []field{
			{"conditions", "Conditions", []string{conditions}},
			{"version", "Version", []string{text}},
			{"revision", "Revision", []string{text}},
			{"profile", "Profile", []string{text}},
			{"gateways", "Gateways", []string{text}},
		},
		resources: []string{"MeshRevision/v1alpha1", "Deployment/v1", "Service/v1", "ConfigMap/v1", "ServiceAccount/v1"},
	},
	"MeshRevision": {
		spec: []field{
			{"version", "Version", []string{text}},
			{"namespace", "Namespace", []string{"urn:alm:descriptor:io.kubernetes:Namespace"}},
		},
		status: []field{
			{"conditions", "Conditions", []string{conditions}},
			{"gateways", "Gateways", []string{text}},
		},
		resources: []string{"Deployment/v1", "Service/v1", "ConfigMap/v1", "ServiceAccount/v1"},
	},
	"MeshRevisionTag": {
		spec:      []field{{"revision", "Revision", []string{text}}},
		status:    []field{{"conditions", "Conditions", []string{conditions}}, {"revision", "Revision that answers", []string{text}}},
		resources: []string{"MutatingWebhookConfiguration/v1", "ValidatingWebhookConfiguration/v1"},
	},
}

// owns describes the CRDs of the bundle, one description for each served version.
func owns(definitions []apiextensionsv1.CustomResourceDefinition) ([]v1alpha1.CRDDescription, error) {
	var out []v1alpha1.CRDDescription
	for _, definition := range definitions {
		for _, served := range definition.Spec.Versions {
			if !served.Served {
				continue
			}
			described, err := describe(definition, served)
			if err != nil {
				return nil, fmt.Errorf("CRD %s: %w", definition.Name, err)
			}
			out = append(out, described)
		}
	}
	slices.SortFunc(out, func(a, b v1alpha1.CRDDescription) int {
		return strings.Compare(a.Name+"/"+a.Version, b.Name+"/"+b.Version)
	})
	return out, nil
}

func describe(definition apiextensionsv1.CustomResourceDefinition, served apiextensionsv1.CustomResourceDefinitionVersion) (v1alpha1.CRDDescription, error) {
	kind := definition.Spec.Names.Kind
	schema := served.Schema.OpenAPIV3Schema
	out := v1alpha1.CRDDescription{
		Name: definition.Name, Version: served.Name, Kind: kind, DisplayName: spaced(kind), Description: plainText(schema.Description),
	}
	if out.Description == "" {
		return v1alpha1.CRDDescription{}, fmt.Errorf("its schema has no description")
	}
	view := shown[kind]
	for _, resource := range view.resources {
		kind, version, _ := strings.Cut(resource, "/")
		out.Resources = append(out.Resources, v1alpha1.APIResourceReference{Kind: kind, Version: version})
	}
	for _, f := range view.spec {
		meaning, err := meaning(schema, "spec", f.path)
		if err != nil {
			return v1alpha1.CRDDescription{}, err
		}
		out.SpecDescriptors = append(out.SpecDescriptors, v1alpha1.SpecDescriptor{
			Path: f.path, DisplayName: f.title, Description: meaning, XDescriptors: f.widgets,
		})
	}
	for _, f := range view.status {
		meaning, err := meaning(schema, "status", f.path)
		if err != nil {
			return v1alpha1.CRDDescription{}, err
		}
		out.StatusDescriptors = append(out.StatusDescriptors, v1alpha1.StatusDescriptor{
			Path: f.path, DisplayName: f.title, Description: meaning, XDescriptors: f.widgets,
		})
	}
	return out, nil
}

// meaning returns the description of a field; that the field is not there any more is an error.
func meaning(schema *apiextensionsv1.JSONSchemaProps, part, path string) (string, error) {
	property, found := schema.Properties[part].Properties[path]
	if !found {
		return "", fmt.Errorf("no field %s.%s to show; hack/bundle names it", part, path)
	}
	return plainText(property.Description), nil
}

// plainText joins the lines that a comment was broken into.
func plainText(description string) string { return strings.Join(strings.Fields(description), " ") }

var capital = regexp.MustCompile(`([a-z])([A-Z])`)

// spaced writes MeshOperator as Mesh Operator.
func spaced(kind string) string { return capital.ReplaceAllString(kind, "$1 $2") }
