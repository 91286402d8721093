// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/operator-framework/api/pkg/operators/v1alpha1"
	"sigs.k8s.io/yaml"
)

// packages are the names by which the operator is subscribed to. The second is the name that the operator of Istio had:
// Subscriptions that are written for it find the same bundle.
var packages = []string{operatorName, "istio-operator"}

// Blobs of a file-based catalog: https://olm.operatorframework.io/docs/reference/file-based-catalogs/.
type (
	packageBlob struct {
		Schema         string   `json:"schema"`
		Name           string   `json:"name"`
		DefaultChannel string   `json:"defaultChannel"`
		Description    string   `json:"description"`
		Icon           iconBlob `json:"icon"`
	}
	iconBlob struct {
		Base64    string `json:"base64data"`
		MediaType string `json:"mediatype"`
	}
	channelBlob struct {
		Schema  string  `json:"schema"`
		Package string  `json:"package"`
		Name    string  `json:"name"`
		Entries []entry `json:"entries"`
	}
	entry struct {
		Name     string `json:"name"`
		Replaces string `json:"replaces,omitempty"`
	}
	bundleBlob struct {
		Schema        string                  `json:"schema"`
		Name          string                  `json:"name"`
		Package       string                  `json:"package"`
		Image         string                  `json:"image"`
		Properties    []property              `json:"properties"`
		RelatedImages []v1alpha1.RelatedImage `json:"relatedImages"`
	}
	property struct {
		Type  string `json:"type"`
		Value any    `json:"value"`
	}
)

// catalog returns the catalog of one package: its channel, and in it the bundle.
func catalog(pkg, image string, service *v1alpha1.ClusterServiceVersion) ([]byte, error) {
	properties := []property{{"olm.package", map[string]any{"packageName": pkg, "version": service.Spec.Version.String()}}}
	for _, owned := range service.Spec.CustomResourceDefinitions.Owned {
		group := owned.Name[bytes.IndexByte([]byte(owned.Name), '.')+1:]
		properties = append(properties, property{"olm.gvk", map[string]any{"group": group, "kind": owned.Kind, "version": owned.Version}})
	}
	properties = append(properties, property{"olm.csv.metadata", metadata(service)})
	related := append([]v1alpha1.RelatedImage{{Name: "", Image: image}}, service.Spec.RelatedImages...)
	slices.SortFunc(related, func(a, b v1alpha1.RelatedImage) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
	icon := service.Spec.Icon[0]
	blobs := []any{
		packageBlob{"olm.package", pkg, channel, summary, iconBlob{icon.Data, icon.MediaType}},
		channelBlob{"olm.channel", pkg, channel, []entry{{Name: service.Name}}},
		bundleBlob{"olm.bundle", service.Name, pkg, image, properties, related},
	}
	var out bytes.Buffer
	out.WriteString(written)
	for i, blob := range blobs {
		text, err := yaml.Marshal(blob)
		if err != nil {
			return nil, fmt.Errorf("encode the catalog of %s: %w", pkg, err)
		}
		if i > 0 {
			out.WriteString("---\n")
		}
		out.Write(text)
	}
	return out.Bytes(), nil
}

// metadata is what consoles show of a ClusterServiceVersion before it is installed.
func metadata(service *v1alpha1.ClusterServiceVersion) map[string]any {
	spec := service.Spec
	return map[string]any{
		"annotations": service.Annotations, "labels": service.Labels,
		"crdDescriptions": spec.CustomResourceDefinitions, "apiServiceDefinitions": spec.APIServiceDefinitions,
		"displayName": spec.DisplayName, "description": spec.Description, "installModes": spec.InstallModes,
		"keywords": spec.Keywords, "links": spec.Links, "maintainers": spec.Maintainers, "maturity": spec.Maturity,
		"minKubeVersion": spec.MinKubeVersion, "provider": spec.Provider,
	}
}

// sourcePlace is a CatalogSource of config/olm.
type sourcePlace struct {
	file, name, namespace string
}

// sourcePlaces has one CatalogSource for each package: OLM takes a Subscription's source from the Subscription's own
// namespace or from its global one.
var sourcePlaces = []sourcePlace{
	{"config/olm/source.yaml", "meshwright", suggestedNamespace},
	{"config/olm/istio-operator/source.yaml", "istio-operator", "istio-operator"},
}

// source returns the namespace and the CatalogSource. The image holds files only: OLM serves them with a program of its own.
func source(place sourcePlace, image string) ([]byte, error) {
	objects := []any{
		map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": place.namespace}},
		map[string]any{
			"apiVersion": v1alpha1.SchemeGroupVersion.String(), "kind": v1alpha1.CatalogSourceKind,
			"metadata": map[string]any{"name": place.name, "namespace": place.namespace},
			"spec": map[string]any{
				"sourceType": v1alpha1.SourceTypeGrpc, "image": image, "displayName": "Meshwright", "publisher": "Meshwright",
				"grpcPodConfig": map[string]any{
					"securityContextConfig": v1alpha1.Restricted,
					"extractContent":        map[string]any{"catalogDir": "/configs"},
				},
			},
		},
	}
	var out bytes.Buffer
	out.WriteString(written)
	for i, object := range objects {
		data, err := json.Marshal(object)
		if err != nil {
			return nil, fmt.Errorf("encode CatalogSource %s: %w", place.name, err)
		}
		text, err := yaml.JSONToYAML(data)
		if err != nil {
			return nil, fmt.Errorf("encode CatalogSource %s: %w", place.name, err)
		}
		if i > 0 {
			out.WriteString("---\n")
		}
		out.Write(text)
	}
	return out.Bytes(), nil
}
