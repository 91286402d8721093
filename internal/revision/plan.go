// SPDX-License-Identifier: Apache-2.0

// Package revision turns a resolved MeshOperatorSpec into the MeshRevision
// that installs it: which charts, where, with which values.
package revision

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

// Version is the Meshwright version that this operator carries charts for.
const Version = "v0.1.0"

// Versions returns the versions that this operator can install.
func Versions() []string { return []string{Version} }

// Platform is what the operator knows and a spec need not say.
type Platform struct {
	// Registry is where images come from when the spec names no registry.
	Registry string
	// Tag is the tag of images when the spec names none; empty means the version.
	Tag string
	// Digests are those of the images of that registry and tag, where they are known. They say nothing of the images of
	// a spec that names a registry or a tag of its own.
	Digests v1alpha1.Digests
	// Name is the kind of the cluster.
	Name v1alpha1.Platform
}

// ErrUnknownVersion is returned for a version that this operator does not carry.
var ErrUnknownVersion = errors.New("unknown version")

// Name returns the name of the MeshRevision of a spec.
func Name(spec v1alpha1.MeshOperatorSpec) string {
	return cmp.Or(spec.Revision, v1alpha1.DefaultRevision)
}

// ControlPlaneName returns the name of the objects of a revision's control plane.
func ControlPlaneName(revision string) string {
	if revision == v1alpha1.DefaultRevision {
		return "meshwright"
	}
	return "meshwright-" + revision
}

// Plan returns the MeshRevisionSpec of a resolved spec. It is a pure function.
// It fails with ErrUnknownVersion.
func Plan(spec v1alpha1.MeshOperatorSpec, platform Platform) (v1alpha1.MeshRevisionSpec, error) {
	version := cmp.Or(spec.Version, Version)
	if !slices.Contains(Versions(), version) {
		return v1alpha1.MeshRevisionSpec{}, fmt.Errorf("spec.version: %w %q; this operator installs %s",
			ErrUnknownVersion, version, strings.Join(Versions(), ", "))
	}
	p := plan{spec: spec, platform: platform, version: version, namespace: cmp.Or(spec.Namespace, v1alpha1.DefaultNamespace)}
	out := v1alpha1.MeshRevisionSpec{Version: version, Namespace: p.namespace, Overlays: spec.Overlays}
	components, err := p.components()
	if err != nil {
		return v1alpha1.MeshRevisionSpec{}, err
	}
	out.Components = components
	return out, nil
}

// plan is one resolution with what it needs everywhere.
type plan struct {
	spec      v1alpha1.MeshOperatorSpec
	platform  Platform
	version   string
	namespace string
}

func (p plan) components() ([]v1alpha1.Component, error) {
	var out []v1alpha1.Component
	add := func(name string, chart v1alpha1.Chart, namespace string, values map[string]any) error {
		data, err := json.Marshal(values)
		if err != nil {
			return fmt.Errorf("values of component %s: %w", name, err)
		}
		out = append(out, v1alpha1.Component{Name: name, Chart: chart, Namespace: namespace, Values: &apiextensionsv1.JSON{Raw: data}})
		return nil
	}
	if c := p.cni(); c != nil {
		values, err := p.cniValues(c)
		if err != nil {
			return nil, err
		}
		if err := add(string(v1alpha1.ChartCNI), v1alpha1.ChartCNI, cmp.Or(c.Namespace, p.namespace), values); err != nil {
			return nil, err
		}
	}
	gateways := p.gateways()
	controlPlane := p.spec.Components != nil && p.spec.Components.ControlPlane != nil && enabled(p.spec.Components.ControlPlane.Enabled)
	if controlPlane {
		if err := add(string(v1alpha1.ChartBase), v1alpha1.ChartBase, p.namespace, map[string]any{}); err != nil {
			return nil, err
		}
		values, err := p.controlPlaneValues(*p.spec.Components.ControlPlane, gateways)
		if err != nil {
			return nil, err
		}
		if err := add(string(v1alpha1.ChartControlPlane), v1alpha1.ChartControlPlane, p.namespace, values); err != nil {
			return nil, err
		}
	}
	for _, g := range gateways {
		values, err := p.gatewayValues(g)
		if err != nil {
			return nil, err
		}
		if err := add("gateway-"+g.Name, v1alpha1.ChartGateway, p.namespaceOf(g.Gateway), values); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// placed is a gateway with the side of the mesh that it is at.
type placed struct {
	v1alpha1.Gateway
	side string
}

func (p plan) gateways() []placed {
	if p.spec.Gateways == nil {
		return nil
	}
	var out []placed
	for _, g := range p.spec.Gateways.Ingress {
		out = append(out, placed{Gateway: g, side: "ingress"})
	}
	for _, g := range p.spec.Gateways.Egress {
		out = append(out, placed{Gateway: g, side: "egress"})
	}
	for _, g := range p.spec.Gateways.EastWest {
		out = append(out, placed{Gateway: g, side: "eastwest"})
	}
	return slices.DeleteFunc(out, func(g placed) bool { return !enabled(g.Enabled) })
}

func (p plan) namespaceOf(g v1alpha1.Gateway) string { return cmp.Or(g.Namespace, p.namespace) }

func enabled(flag *bool) bool { return flag == nil || *flag }
