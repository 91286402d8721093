// SPDX-License-Identifier: Apache-2.0

// Package manifest turns what a MeshRevision asks for into the objects that
// are applied for it: rendered, overlaid, labelled and named. Nothing here
// talks to a cluster.
package manifest

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/apply"
	"github.com/meshwright/meshwright/internal/conditions"
	"github.com/meshwright/meshwright/internal/helm"
	"github.com/meshwright/meshwright/internal/revision"
)

// Manifest is what is applied for one MeshRevision.
type Manifest struct {
	// Definitions are the CustomResourceDefinitions. All revisions share them,
	// so they carry no revision's label.
	Definitions []*unstructured.Unstructured
	// Objects are all others, in the order in which they are applied.
	Objects []Object
}

// Object is one rendered object.
type Object struct {
	// Component is the part of the MeshRevision that it is of.
	Component v1alpha1.Component
	// Object is the object, with the labels of its owner.
	Object *unstructured.Unstructured
	// Entry names it in the inventory, with the digest of this manifest.
	Entry v1alpha1.InventoryEntry
}

// Render returns what is applied for the MeshRevision of a name. It is a pure
// function. It fails with a conditions.Outcome that says what a user must
// change: UnknownVersion, InvalidValues or InvalidOverlay.
func Render(charts *helm.Charts, kubeVersion, name string, spec v1alpha1.MeshRevisionSpec) (Manifest, error) {
	var out Manifest
	if !slices.Contains(revision.Versions(), spec.Version) {
		return out, conditions.Stall(v1alpha1.ReasonUnknownVersion, "spec.version: unknown version %q; this operator installs %s",
			spec.Version, strings.Join(revision.Versions(), ", "))
	}
	for _, component := range spec.Components {
		objects, err := render(charts, kubeVersion, component)
		if err != nil {
			return Manifest{}, err
		}
		for _, object := range objects {
			if component.Chart == v1alpha1.ChartBase {
				out.Definitions = append(out.Definitions, object)
				continue
			}
			out.Objects = append(out.Objects, Object{Component: component, Object: object})
		}
	}
	if err := out.settle(name, spec.Overlays); err != nil {
		return Manifest{}, err
	}
	return out, nil
}

func render(charts *helm.Charts, kubeVersion string, component v1alpha1.Component) ([]*unstructured.Unstructured, error) {
	values := map[string]any{}
	if component.Values != nil && len(component.Values.Raw) > 0 {
		if err := json.Unmarshal(component.Values.Raw, &values); err != nil {
			return nil, conditions.Stall(v1alpha1.ReasonInvalidValues, "component %s: values: %v", component.Name, err)
		}
	}
	objects, err := charts.Render(helm.Release{
		Chart: string(component.Chart), Name: component.Name, Namespace: component.Namespace, Values: values,
	}, kubeVersion)
	switch {
	case errors.Is(err, helm.ErrUnknownChart):
		return nil, conditions.Stall(v1alpha1.ReasonUnknownVersion, "component %s: %v", component.Name, err)
	case err != nil:
		return nil, conditions.Stall(v1alpha1.ReasonInvalidValues, "component %s: %v", component.Name, err)
	}
	return objects, nil
}

// settle applies overlays, labels the objects and names them.
func (m *Manifest) settle(name string, overlays []v1alpha1.Overlay) error {
	objects := make([]*unstructured.Unstructured, len(m.Objects))
	for i := range m.Objects {
		objects[i] = m.Objects[i].Object
	}
	if err := helm.Overlay(objects, overlays); err != nil {
		return conditions.Stall(v1alpha1.ReasonInvalidOverlay, "%v", err)
	}
	for i := range m.Objects {
		o := &m.Objects[i]
		labels := o.Object.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels[v1alpha1.LabelRevision] = name
		labels[v1alpha1.LabelComponent] = o.Component.Name
		o.Object.SetLabels(labels)
		digest, err := apply.Digest(o.Object)
		if err != nil {
			return conditions.Give(v1alpha1.ReasonError, "%v", err)
		}
		kind := o.Object.GroupVersionKind()
		o.Entry = v1alpha1.InventoryEntry{
			Group: kind.Group, Version: kind.Version, Kind: kind.Kind,
			Namespace: o.Object.GetNamespace(), Name: o.Object.GetName(), Digest: digest,
		}
	}
	return nil
}
