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
	"github.com/meshwright/meshwright/internal/upgrade"
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

// Namespace returns the namespace of the control planes of a spec.
func Namespace(spec v1alpha1.MeshOperatorSpec) string {
	return cmp.Or(spec.Namespace, v1alpha1.DefaultNamespace)
}

// HasControlPlane says whether a resolved spec asks for a control plane.
func HasControlPlane(spec v1alpha1.MeshOperatorSpec) bool {
	return spec.Components != nil && spec.Components.ControlPlane != nil && enabled(spec.Components.ControlPlane.Enabled)
}

// ControlPlaneName returns the name of the objects of a revision's control plane.
func ControlPlaneName(revision string) string {
	if revision == v1alpha1.DefaultRevision {
		return "meshwright"
	}
	return "meshwright-" + revision
}

// IdentityOf returns what the control plane of a resolved spec is. It fails with ErrUnknownVersion.
func IdentityOf(spec v1alpha1.MeshOperatorSpec, platform Platform) (v1alpha1.Identity, error) {
	version := cmp.Or(spec.Version, Version)
	if !slices.Contains(Versions(), version) {
		return v1alpha1.Identity{}, fmt.Errorf("spec.version: %w %q; this operator installs %s",
			ErrUnknownVersion, version, strings.Join(Versions(), ", "))
	}
	var image v1alpha1.Image
	if spec.Image != nil {
		image = *spec.Image
	}
	out := v1alpha1.Identity{
		Version: version, Registry: cmp.Or(image.Registry, platform.Registry), Tag: cmp.Or(image.Tag, platform.Tag, version),
		Digests: image.Digests, Proxy: image.Proxy,
	}
	if out.Digests == nil && image.Registry == "" && image.Tag == "" && platform.Digests != (v1alpha1.Digests{}) {
		out.Digests = &platform.Digests
	}
	return out, nil
}

// Plan returns the MeshRevisionSpec that installs a resolved spec where nothing is yet. It is a pure function. It fails
// with ErrUnknownVersion.
func Plan(spec v1alpha1.MeshOperatorSpec, platform Platform) (v1alpha1.MeshRevisionSpec, error) {
	identity, err := IdentityOf(spec, platform)
	if err != nil {
		return v1alpha1.MeshRevisionSpec{}, err
	}
	name := Name(spec)
	all, err := PlanLayout(spec, upgrade.Fresh(name, identity), nil)
	return all[name], err
}

// PlanLayout returns the MeshRevisionSpecs of a resolved spec whose control planes stand as the layout says, by their
// names. The one that is called as the mesh's revision holds what all share; it is there even when its own control plane
// is gone. root is the PEM that the API server must trust where the webhooks ask another control plane than that one.
func PlanLayout(spec v1alpha1.MeshOperatorSpec, layout upgrade.Layout, root []byte) (map[string]v1alpha1.MeshRevisionSpec, error) {
	front := Name(spec)
	out := map[string]v1alpha1.MeshRevisionSpec{}
	p := plan{spec: spec, namespace: Namespace(spec), front: front, layout: layout, root: root}
	for name, identity := range layout.Identities {
		if name == front || !HasControlPlane(p.spec) {
			continue
		}
		q := p
		q.name, q.identity = name, identity
		component, err := q.controlPlane([]any{"workload"})
		if err != nil {
			return nil, err
		}
		out[name] = v1alpha1.MeshRevisionSpec{
			Version: identity.Version, Namespace: p.namespace, Identity: &identity,
			Components: []v1alpha1.Component{component}, Overlays: q.overlays(),
		}
	}
	p.name, p.identity = front, layout.Identities[layout.Entry]
	shared := v1alpha1.MeshRevisionSpec{Namespace: p.namespace, Front: frontOf(layout)}
	parts := []any{"webhooks"}
	if own, has := layout.Identities[front]; has {
		p.identity, parts, shared.Identity = own, nil, &own
	}
	shared.Version, shared.Overlays = p.identity.Version, p.overlays()
	var err error
	if shared.Components, err = p.components(parts); err != nil {
		return nil, err
	}
	out[front] = shared
	return out, nil
}

// plan is one resolution with what it needs everywhere.
type plan struct {
	spec      v1alpha1.MeshOperatorSpec
	namespace string
	// name and identity are those of the MeshRevision that is planned.
	name     string
	identity v1alpha1.Identity
	// front is the name of the mesh.
	front  string
	layout upgrade.Layout
	root   []byte
}

// components are what the MeshRevision of the mesh's name holds: the definitions, parts of the control plane, and the gateways.
func (p plan) components(parts []any) ([]v1alpha1.Component, error) {
	var out []v1alpha1.Component
	if c := p.cni(); c != nil {
		values, err := p.cniValues(c)
		if err != nil {
			return nil, err
		}
		plugin, err := component(string(v1alpha1.ChartCNI), v1alpha1.ChartCNI, cmp.Or(c.Namespace, p.namespace), values)
		if err != nil {
			return nil, err
		}
		out = append(out, plugin)
	}
	if HasControlPlane(p.spec) {
		base, err := component(string(v1alpha1.ChartBase), v1alpha1.ChartBase, p.namespace, map[string]any{})
		if err != nil {
			return nil, err
		}
		controlPlane, err := p.controlPlane(parts)
		if err != nil {
			return nil, err
		}
		out = append(out, base, controlPlane)
	}
	for _, g := range p.gateways() {
		values, err := p.gatewayValues(g)
		if err != nil {
			return nil, err
		}
		gateway, err := component("gateway-"+g.Name, v1alpha1.ChartGateway, p.namespaceOf(g.Gateway), values)
		if err != nil {
			return nil, err
		}
		out = append(out, gateway)
	}
	return out, nil
}

// controlPlane is the component of the control plane, or of a part of it.
func (p plan) controlPlane(parts []any) (v1alpha1.Component, error) {
	values, err := p.controlPlaneValues(*p.spec.Components.ControlPlane, p.gateways(), parts)
	if err != nil {
		return v1alpha1.Component{}, err
	}
	return component(string(v1alpha1.ChartControlPlane), v1alpha1.ChartControlPlane, p.namespace, values)
}

func component(name string, chart v1alpha1.Chart, namespace string, values map[string]any) (v1alpha1.Component, error) {
	data, err := json.Marshal(values)
	if err != nil {
		return v1alpha1.Component{}, fmt.Errorf("values of component %s: %w", name, err)
	}
	return v1alpha1.Component{Name: name, Chart: chart, Namespace: namespace, Values: &apiextensionsv1.JSON{Raw: data}}, nil
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
