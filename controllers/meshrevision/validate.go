// SPDX-License-Identifier: Apache-2.0

package meshrevision

import (
	"context"

	"github.com/meshwright/meshwright/internal/manifest"
)

// validate renders everything before anything is applied, so that a mistake in
// one component leaves all as it is.
func (r *Reconciler) validate(_ context.Context, s *scope) error {
	rendered, err := manifest.Render(r.Charts, r.KubeVersion, s.revision.Name, s.revision.Spec)
	if err != nil {
		return err
	}
	s.definitions = rendered.Definitions
	for _, o := range rendered.Objects {
		s.items = append(s.items, &item{
			stage: stageOf(o.Component.Chart, o.Object.GetKind()), component: o.Component, object: o.Object, entry: o.Entry,
		})
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
