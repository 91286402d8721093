// SPDX-License-Identifier: Apache-2.0

package meshrevision

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/apply"
	"github.com/meshwright/meshwright/internal/conditions"
	"github.com/meshwright/meshwright/internal/helm"
	versions "github.com/meshwright/meshwright/internal/revision"
)

// validate renders everything before anything is applied, so that a mistake in
// one component leaves all as it is.
func (r *Reconciler) validate(_ context.Context, s *scope) error {
	spec := s.revision.Spec
	if !slices.Contains(versions.Versions(), spec.Version) {
		return conditions.Stall(v1alpha1.ReasonUnknownVersion, "spec.version: unknown version %q; this operator installs %s",
			spec.Version, strings.Join(versions.Versions(), ", "))
	}
	for _, component := range spec.Components {
		objects, err := r.render(component)
		if err != nil {
			return err
		}
		for _, object := range objects {
			if component.Chart == v1alpha1.ChartBase {
				s.definitions = append(s.definitions, object)
				continue
			}
			s.items = append(s.items, &item{
				stage: stageOf(component.Chart, object.GetKind()), component: component, object: object,
			})
		}
	}
	return s.settle()
}

func (r *Reconciler) render(component v1alpha1.Component) ([]*unstructured.Unstructured, error) {
	values := map[string]any{}
	if component.Values != nil && len(component.Values.Raw) > 0 {
		if err := json.Unmarshal(component.Values.Raw, &values); err != nil {
			return nil, conditions.Stall(v1alpha1.ReasonInvalidValues, "component %s: values: %v", component.Name, err)
		}
	}
	objects, err := r.Charts.Render(helm.Release{
		Chart: string(component.Chart), Name: component.Name, Namespace: component.Namespace, Values: values,
	}, r.KubeVersion)
	var invalid *helm.ValuesError
	switch {
	case errors.As(err, &invalid):
		return nil, conditions.Stall(v1alpha1.ReasonInvalidValues, "component %s: %v", component.Name, err)
	case errors.Is(err, helm.ErrUnknownChart):
		return nil, conditions.Stall(v1alpha1.ReasonUnknownVersion, "component %s: %v", component.Name, err)
	case err != nil:
		return nil, conditions.Stall(v1alpha1.ReasonInvalidValues, "component %s: %v", component.Name, err)
	}
	return objects, nil
}

// settle applies overlays, labels the objects and names them.
func (s *scope) settle() error {
	objects := make([]*unstructured.Unstructured, len(s.items))
	for i, item := range s.items {
		objects[i] = item.object
	}
	if err := helm.Overlay(objects, s.revision.Spec.Overlays); err != nil {
		return conditions.Stall(v1alpha1.ReasonInvalidOverlay, "%v", err)
	}
	for _, item := range s.items {
		labels := item.object.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels[v1alpha1.LabelRevision] = s.revision.Name
		labels[v1alpha1.LabelComponent] = item.component.Name
		item.object.SetLabels(labels)
		digest, err := apply.Digest(item.object)
		if err != nil {
			return conditions.Give(v1alpha1.ReasonError, "%v", err)
		}
		kind := item.object.GroupVersionKind()
		item.entry = v1alpha1.InventoryEntry{
			Group: kind.Group, Version: kind.Version, Kind: kind.Kind,
			Namespace: item.object.GetNamespace(), Name: item.object.GetName(), Digest: digest,
		}
	}
	return nil
}

// record writes what is about to be applied into the inventory before it is
// applied, so that nothing is forgotten when the operator dies in between.
func (r *Reconciler) record(ctx context.Context, s *scope) error {
	before := s.revision.DeepCopy()
	for _, item := range s.items {
		if s.recorded(item.entry) == nil {
			entry := item.entry
			entry.Digest = ""
			s.revision.Status.Inventory = append(s.revision.Status.Inventory, entry)
		}
	}
	if len(before.Status.Inventory) == len(s.revision.Status.Inventory) {
		return nil
	}
	return r.patchStatus(ctx, before, s.revision)
}
