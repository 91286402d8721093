// SPDX-License-Identifier: Apache-2.0

// Package profile resolves what a user wrote to what is meant: the base, then
// the profile, then the platform, then the user's fields, in one vocabulary.
package profile

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

// Default is the profile of a MeshOperator that names none.
const Default = "default"

// base is under every profile and is none itself.
const base = "base"

// files holds a file for each profile, and one for each platform that needs
// something.
//
//go:embed profiles/*.yaml platforms/*.yaml
var files embed.FS

// UnknownError says that there is no profile of that name.
type UnknownError struct{ Name string }

// elsewhere are profiles of Istio's for clusters whose control plane is in another one, which is not served.
var elsewhere = []string{"remote", "external"}

// Error names the known profiles.
func (e *UnknownError) Error() string {
	if slices.Contains(elsewhere, e.Name) {
		return fmt.Sprintf("spec.profile: profile %q has its control plane in another cluster, which this version does not serve; install a control plane in each cluster: known profiles are %s",
			e.Name, strings.Join(Names(), ", "))
	}
	return fmt.Sprintf("spec.profile: unknown profile %q; known profiles are %s", e.Name, strings.Join(Names(), ", "))
}

// Names returns the names of the profiles, sorted.
func Names() []string {
	var out []string
	entries, err := files.ReadDir("profiles")
	if err != nil {
		return nil
	}
	for _, entry := range entries {
		if name := strings.TrimSuffix(entry.Name(), ".yaml"); name != base {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// Resolve returns spec with everything that it leaves open decided by its
// platform and its profile. It is a pure function. It fails with an UnknownError.
func Resolve(spec v1alpha1.MeshOperatorSpec) (v1alpha1.MeshOperatorSpec, error) {
	var out v1alpha1.MeshOperatorSpec
	name := spec.Profile
	if name == "" {
		name = Default
	}
	if !slices.Contains(Names(), name) {
		return out, &UnknownError{Name: name}
	}
	user, err := toMap(spec)
	if err != nil {
		return out, err
	}
	merged := map[string]any{}
	for _, file := range []string{"profiles/" + base, "profiles/" + name, "platforms/" + string(spec.Platform)} {
		layer, err := read(file)
		if err != nil {
			return out, err
		}
		merged = merge(merged, layer)
	}
	merged = merge(merged, user)
	merged["profile"] = name
	data, err := json.Marshal(merged)
	if err != nil {
		return out, fmt.Errorf("resolve profile %s: %w", name, err)
	}
	if err := json.Unmarshal(data, &out); err != nil {
		return out, fmt.Errorf("resolve profile %s: %w", name, err)
	}
	return out, nil
}

// read returns a layer; one that has no file is empty.
func read(name string) (map[string]any, error) {
	data, err := files.ReadFile(name + ".yaml")
	if errors.Is(err, fs.ErrNotExist) {
		// Most platforms need nothing.
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	// Strict: a wrong field in a layer must not be ignored.
	var spec v1alpha1.MeshOperatorSpec
	if err := yaml.UnmarshalStrict(data, &spec); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return toMap(spec)
}

func toMap(spec v1alpha1.MeshOperatorSpec) (map[string]any, error) {
	data, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("encode spec: %w", err)
	}
	out := map[string]any{}
	if err := json.Unmarshal(data, &out); err != nil {
		return nil, fmt.Errorf("decode spec: %w", err)
	}
	return out, nil
}
