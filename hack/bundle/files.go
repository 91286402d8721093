// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/operator-framework/api/pkg/operators/v1alpha1"
	"sigs.k8s.io/yaml"
)

// written heads every file; each line of a Dockerfile and of YAML may begin with it.
const written = "# Written by go run ./hack/bundle from charts/operator; change that.\n"

// channel is the only channel, as long as the API is alpha.
const channel = "alpha"

// labels are those of a bundle: annotations of its metadata and labels of its image.
var labels = map[string]string{
	"operators.operatorframework.io.bundle.mediatype.v1":       "registry+v1",
	"operators.operatorframework.io.bundle.manifests.v1":       "manifests/",
	"operators.operatorframework.io.bundle.metadata.v1":        "metadata/",
	"operators.operatorframework.io.bundle.package.v1":         operatorName,
	"operators.operatorframework.io.bundle.channels.v1":        channel,
	"operators.operatorframework.io.bundle.channel.default.v1": channel,
}

// configsLabel says where the catalog is in its image.
const configsLabel = "operators.operatorframework.io.index.configs.v1"

// bundleFiles returns the files of bundle but for the catalog.
func bundleFiles(s sources, service *v1alpha1.ClusterServiceVersion) (map[string][]byte, error) {
	text, err := serviceText(service)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{"bundle/manifests/" + operatorName + ".clusterserviceversion.yaml": text}
	for name, definition := range s.texts {
		// Readers of bundles take the first document of a file, and a comment before the line of dashes would be one.
		files["bundle/manifests/"+name] = append([]byte(written), bytes.TrimPrefix(definition, []byte("---\n"))...)
	}
	for _, object := range s.others {
		text, err := yaml.Marshal(object.Object)
		if err != nil {
			return nil, fmt.Errorf("encode %s %s: %w", object.GetKind(), object.GetName(), err)
		}
		name := object.GetName() + "." + strings.ToLower(object.GetKind()) + ".yaml"
		files["bundle/manifests/"+name] = append([]byte(written), text...)
	}
	annotations, err := yaml.Marshal(map[string]any{"annotations": labels})
	if err != nil {
		return nil, fmt.Errorf("encode annotations: %w", err)
	}
	files["bundle/metadata/annotations.yaml"] = append([]byte(written), annotations...)
	files["bundle/bundle.Dockerfile"] = dockerfile("bundle.Dockerfile", labels, "manifests /manifests/", "metadata /metadata/")
	files["bundle/catalog.Dockerfile"] = dockerfile("catalog.Dockerfile", map[string]string{configsLabel: "/configs"}, "catalog /configs/")
	return files, nil
}

// serviceText is the ClusterServiceVersion without the fields that only a cluster fills.
func serviceText(service *v1alpha1.ClusterServiceVersion) ([]byte, error) {
	data, err := json.Marshal(service)
	if err != nil {
		return nil, fmt.Errorf("encode the ClusterServiceVersion: %w", err)
	}
	plain := map[string]any{}
	if err := json.Unmarshal(data, &plain); err != nil {
		return nil, fmt.Errorf("decode the ClusterServiceVersion: %w", err)
	}
	delete(plain, "status")
	out, err := yaml.Marshal(withoutNull(plain))
	if err != nil {
		return nil, fmt.Errorf("encode the ClusterServiceVersion: %w", err)
	}
	return append([]byte(written), out...), nil
}

// withoutNull removes what an API type writes for times that were never set.
func withoutNull(in any) any {
	switch value := in.(type) {
	case map[string]any:
		for key, inner := range value {
			if inner == nil {
				delete(value, key)
				continue
			}
			value[key] = withoutNull(inner)
		}
	case []any:
		for i, inner := range value {
			value[i] = withoutNull(inner)
		}
	}
	return in
}

// dockerfile is for those who build with a container engine; -images writes the same without one.
func dockerfile(name string, labels map[string]string, copies ...string) []byte {
	var b strings.Builder
	b.WriteString(written)
	fmt.Fprintf(&b, "# docker build -f bundle/%s bundle\nFROM scratch\n", name)
	for _, key := range sortedKeys(labels) {
		fmt.Fprintf(&b, "LABEL %s=%s\n", key, labels[key])
	}
	for _, c := range copies {
		fmt.Fprintf(&b, "COPY %s\n", c)
	}
	return []byte(b.String())
}
