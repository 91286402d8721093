// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// definition is the CustomResourceDefinition of a kind. All versions have one
// schema, so that no conversion is needed between them.
func definition(k kind) (*apiextensionsv1.CustomResourceDefinition, error) {
	schema, err := object(k)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k.name, err)
	}
	out := &apiextensionsv1.CustomResourceDefinition{
		TypeMeta: metav1.TypeMeta{APIVersion: "apiextensions.k8s.io/v1", Kind: "CustomResourceDefinition"},
		ObjectMeta: metav1.ObjectMeta{
			Name:        k.plural + "." + k.group,
			Labels:      map[string]string{"app.kubernetes.io/part-of": "meshwright"},
			Annotations: map[string]string{"helm.sh/resource-policy": "keep"},
		},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: k.group,
			Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{
				Kind: k.name, ListKind: k.name + "List", Plural: k.plural, Singular: strings.ToLower(k.name),
				ShortNames: k.short, Categories: []string{"istio-io", strings.ReplaceAll(k.group, ".", "-")},
			},
		},
	}
	for i, version := range k.versions {
		out.Spec.Versions = append(out.Spec.Versions, apiextensionsv1.CustomResourceDefinitionVersion{
			Name: version, Served: true, Storage: i == 0,
			Subresources:             &apiextensionsv1.CustomResourceSubresources{Status: &apiextensionsv1.CustomResourceSubresourceStatus{}},
			Schema:                   &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: schema},
			AdditionalPrinterColumns: printer(k),
		})
	}
	return out, nil
}

func object(k kind) (*props, error) {
	spec, err := message(k.spec.ProtoReflect().Descriptor(), nil)
	if err != nil {
		return nil, err
	}
	if err := k.amend(spec); err != nil {
		return nil, err
	}
	status, err := message(k.status.ProtoReflect().Descriptor(), nil)
	if err != nil {
		return nil, err
	}
	out := &props{
		Type: "object", Description: k.about,
		Properties: map[string]props{"spec": *spec, "status": *status},
	}
	if k.filled {
		out.Required = []string{"spec"}
	}
	return out, nil
}

func printer(k kind) []apiextensionsv1.CustomResourceColumnDefinition {
	var out []apiextensionsv1.CustomResourceColumnDefinition
	for _, c := range k.columns {
		out = append(out, apiextensionsv1.CustomResourceColumnDefinition{
			Name: c.name, Type: "string", JSONPath: c.path, Description: c.about,
		})
	}
	return append(out,
		apiextensionsv1.CustomResourceColumnDefinition{
			Name: "Programmed", Type: "string", JSONPath: `.status.conditions[?(@.type=="Programmed")].status`,
			Description: "Whether the proxies have it", Priority: 1,
		},
		apiextensionsv1.CustomResourceColumnDefinition{
			Name: "Age", Type: "date", JSONPath: ".metadata.creationTimestamp", Description: "Time since it was created",
		})
}
