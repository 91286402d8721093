// SPDX-License-Identifier: Apache-2.0

// Package wanted reads what mesh a user wants: from files that hold a
// MeshOperator or an IstioOperator, and from flags over them.
package wanted

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"helm.sh/helm/v3/pkg/strvals"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/istiooperator"
	"github.com/meshwright/meshwright/internal/profile"
)

// DefaultName is the name of a MeshOperator that nobody named.
const DefaultName = "mesh"

// maxFile bounds what is read of a file, in bytes: more than an API server
// takes of an object.
const maxFile = 4 << 20

// Source is where a wish comes from.
type Source struct {
	// Files are names of files, - for the standard input; later ones go over
	// earlier ones.
	Files []string
	// Name is the name of the MeshOperator, over that of the files.
	Name string
	// Profile and Revision are fields of the spec, over the files.
	Profile, Revision string
	// Set are settings PATH=VALUE of the spec, over everything else; numbers and
	// truth values are told by their form. SetString takes every value as text.
	Set, SetString []string
	// Stdin is read for the file -.
	Stdin io.Reader
}

// Mesh is a MeshOperator that somebody wants.
type Mesh struct {
	Name string
	Spec v1alpha1.MeshOperatorSpec
	// Unmapped are the fields of IstioOperators that have no counterpart.
	Unmapped []Unmapped
}

// Unmapped is a field of an IstioOperator that has no effect.
type Unmapped struct {
	File string
	istiooperator.Unmapped
}

// String names the file, the field and why.
func (u Unmapped) String() string { return u.File + ": " + u.Path + ": " + u.Reason }

// Read reads everything and puts it together. Files that hold no mesh, or
// another object, are refused, so that none is forgotten in silence.
func Read(s Source) (Mesh, error) {
	var out Mesh
	for _, file := range s.Files {
		one, err := readFile(file, s.Stdin)
		if err != nil {
			return out, err
		}
		if out.Name != "" && one.Name != "" && out.Name != one.Name {
			return out, fmt.Errorf("%s: the mesh is called %s, and %s in a file before; give files of one mesh", file, one.Name, out.Name)
		}
		if one.Name != "" {
			out.Name = one.Name
		}
		if out.Spec, err = profile.Over(out.Spec, one.Spec); err != nil {
			return out, fmt.Errorf("%s: %w", file, err)
		}
		out.Unmapped = append(out.Unmapped, one.Unmapped...)
	}
	if s.Profile != "" {
		out.Spec.Profile = s.Profile
	}
	if s.Revision != "" {
		out.Spec.Revision = s.Revision
	}
	var err error
	if out.Spec, err = Set(out.Spec, s.Set, s.SetString); err != nil {
		return out, err
	}
	if s.Name != "" {
		out.Name = s.Name
	}
	if out.Name == "" {
		out.Name = DefaultName
	}
	return out, nil
}

func readFile(file string, stdin io.Reader) (Mesh, error) {
	in := stdin
	if file != "-" {
		opened, err := os.Open(file)
		if err != nil {
			return Mesh{}, fmt.Errorf("read a mesh: %w", err)
		}
		defer opened.Close()
		in = opened
	}
	data, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err != nil {
		return Mesh{}, fmt.Errorf("read %s: %w", file, err)
	}
	if len(data) > maxFile {
		return Mesh{}, fmt.Errorf("read %s: it is longer than %d bytes", file, maxFile)
	}
	mesh, err := parse(file, data)
	if err != nil {
		return Mesh{}, fmt.Errorf("%s: %w", file, err)
	}
	return mesh, nil
}

// parse reads the one mesh of a file's content.
func parse(file string, data []byte) (Mesh, error) {
	var out Mesh
	found := false
	documents := utilyaml.NewYAMLReader(newReader(data))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return out, err
		}
		if empty(document) {
			continue
		}
		if found {
			return out, errors.New("it holds more than one object; give one MeshOperator or IstioOperator in a file")
		}
		found = true
		if out, err = decode(file, document); err != nil {
			return out, err
		}
	}
	if !found {
		return out, errors.New("it holds no object; give a MeshOperator or an IstioOperator")
	}
	return out, nil
}

func decode(file string, document []byte) (Mesh, error) {
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   struct {
			Namespace string `json:"namespace"`
			Name      string `json:"name"`
		} `json:"metadata"`
		Spec map[string]any `json:"spec"`
	}
	if err := yaml.Unmarshal(document, &head); err != nil {
		return Mesh{}, err
	}
	switch group, _, _ := strings.Cut(head.APIVersion, "/"); group + " " + head.Kind {
	case v1alpha1.GroupVersion.Group + " MeshOperator":
		var mesh v1alpha1.MeshOperator
		if err := yaml.UnmarshalStrict(document, &mesh); err != nil {
			return Mesh{}, err
		}
		return Mesh{Name: mesh.Name, Spec: mesh.Spec}, nil
	case "install.istio.io IstioOperator":
		spec, unmapped, err := istiooperator.Convert(head.Metadata.Namespace, head.Spec)
		if err != nil {
			return Mesh{}, err
		}
		out := Mesh{Name: head.Metadata.Name, Spec: spec}
		for _, u := range unmapped {
			out.Unmapped = append(out.Unmapped, Unmapped{File: file, Unmapped: u})
		}
		return out, nil
	}
	return Mesh{}, fmt.Errorf("it holds %s %s; give a MeshOperator (%s) or an IstioOperator (install.istio.io/v1alpha1)",
		head.APIVersion, head.Kind, v1alpha1.GroupVersion)
}

// Set returns spec with settings PATH=VALUE over it. A path that no field has
// is refused.
func Set(spec v1alpha1.MeshOperatorSpec, set, setString []string) (v1alpha1.MeshOperatorSpec, error) {
	if len(set)+len(setString) == 0 {
		return spec, nil
	}
	data, err := json.Marshal(spec)
	if err != nil {
		return spec, fmt.Errorf("encode the spec: %w", err)
	}
	fields := map[string]any{}
	if err := json.Unmarshal(data, &fields); err != nil {
		return spec, fmt.Errorf("decode the spec: %w", err)
	}
	for _, one := range set {
		if err := strvals.ParseInto(strings.TrimPrefix(one, "spec."), fields); err != nil {
			return spec, fmt.Errorf("--set %s: %w", one, err)
		}
	}
	for _, one := range setString {
		if err := strvals.ParseIntoString(strings.TrimPrefix(one, "spec."), fields); err != nil {
			return spec, fmt.Errorf("--set-string %s: %w", one, err)
		}
	}
	if data, err = json.Marshal(fields); err != nil {
		return spec, fmt.Errorf("encode the spec: %w", err)
	}
	var out v1alpha1.MeshOperatorSpec
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&out); err != nil {
		return spec, fmt.Errorf("--set: %w; give paths of a MeshOperator's spec, such as gateways.ingress[0].replicas=2", err)
	}
	return out, nil
}
