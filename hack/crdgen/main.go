// SPDX-License-Identifier: Apache-2.0

// Command crdgen writes the CustomResourceDefinitions of the Istio APIs from the
// protobuf descriptors of istio.io/api, so that they are always equal to the Go
// types with which objects are read.
//
//	go run ./hack/crdgen charts/base/files/crds
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"
)

const header = "# Made by hack/crdgen from istio.io/api; do not edit.\n"

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: crdgen DIRECTORY")
		os.Exit(2)
	}
	if err := generate(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "crdgen:", err)
		os.Exit(1)
	}
}

// generate writes one file per kind and removes files of kinds that are no more.
func generate(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	keep := map[string]bool{}
	for _, k := range kinds() {
		text, err := render(k)
		if err != nil {
			return err
		}
		name := filepath.Join(dir, k.group+"_"+k.plural+".yaml")
		keep[name] = true
		if err := os.WriteFile(name, text, 0o644); err != nil {
			return err
		}
	}
	for _, group := range []string{networking, security, telemetry, extensions} {
		old, err := filepath.Glob(filepath.Join(dir, group+"_*.yaml"))
		if err != nil {
			return err
		}
		for _, name := range old {
			if keep[name] {
				continue
			}
			if err := os.Remove(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// render is the YAML of a kind's definition, without the status that only a
// server fills.
func render(k kind) ([]byte, error) {
	crd, err := definition(k)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(crd)
	if err != nil {
		return nil, err
	}
	var tree map[string]any
	if err := json.Unmarshal(body, &tree); err != nil {
		return nil, err
	}
	delete(tree, "status")
	text, err := yaml.Marshal(tree)
	if err != nil {
		return nil, err
	}
	return append([]byte(header), text...), nil
}
