// SPDX-License-Identifier: Apache-2.0

package meshrevision

import (
	"context"
	"encoding/json"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/controllers/owner"
	"github.com/meshwright/meshwright/internal/conditions"
	"github.com/meshwright/meshwright/internal/manifest"
)

// validate renders everything before anything is applied, so that a mistake in
// one component leaves all as it is.
func (r *Reconciler) validate(_ context.Context, s *scope) error {
	spec, err := named(s.revision)
	if err != nil {
		return err
	}
	rendered, err := manifest.Render(r.Charts, r.KubeVersion, s.revision.Name, spec)
	if err != nil {
		return err
	}
	s.definitions = rendered.Definitions
	for _, o := range rendered.Objects {
		o.Object.SetOwnerReferences([]metav1.OwnerReference{owner.OfRevision(s.revision)})
		s.items = append(s.items, &item{
			stage: stageOf(o.Component.Chart, o.Object.GetKind()), component: o.Component, object: o.Object, entry: o.Entry,
		})
	}
	return nil
}

// named tells the control plane the name of its MeshOperator: what it writes in other namespaces goes with that.
func named(revision *v1alpha1.MeshRevision) (v1alpha1.MeshRevisionSpec, error) {
	spec, mesh := *revision.Spec.DeepCopy(), metav1.GetControllerOf(revision)
	if mesh == nil {
		return spec, nil
	}
	for i := range spec.Components {
		c := &spec.Components[i]
		if c.Chart != v1alpha1.ChartControlPlane {
			continue
		}
		values := map[string]any{}
		if c.Values != nil {
			if err := json.Unmarshal(c.Values.Raw, &values); err != nil {
				return spec, conditions.Stall(v1alpha1.ReasonInvalidValues, "component %s: values: %v", c.Name, err)
			}
		}
		values["owner"] = map[string]any{"name": mesh.Name, "uid": string(mesh.UID)}
		raw, err := json.Marshal(values)
		if err != nil {
			return spec, conditions.Give(v1alpha1.ReasonError, "component %s: encode values: %v", c.Name, err)
		}
		c.Values = &apiextensionsv1.JSON{Raw: raw}
	}
	return spec, nil
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
