// SPDX-License-Identifier: Apache-2.0

package meshoperator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/log"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/conditions"
	"github.com/meshwright/meshwright/internal/revision"
	"github.com/meshwright/meshwright/internal/upgrade"
)

// observed is what one reconcile has seen.
type observed struct {
	children map[string]*v1alpha1.MeshRevision
	world    upgrade.World
	use      use
}

// observe gathers all that a decision about a mesh is made from.
func (r *Reconciler) observe(ctx context.Context, mesh *v1alpha1.MeshOperator, spec v1alpha1.MeshOperatorSpec, wanted v1alpha1.Identity) (*observed, error) {
	name := revision.Name(spec)
	children, err := r.children(ctx, mesh)
	if err != nil {
		return nil, err
	}
	specs := map[string]v1alpha1.MeshRevisionSpec{}
	for childName, child := range children {
		specs[childName] = child.Spec
	}
	layout, err := revision.LayoutOf(name, specs)
	if err != nil {
		return nil, conditions.Give(v1alpha1.ReasonError, "%v", err)
	}
	layout = restored(layout, mesh)
	out := &observed{children: children, world: upgrade.World{
		Now: r.now(), Name: name, Wanted: wanted, Installed: layout, Status: mesh.Status.Upgrade,
		Revisions: map[string]upgrade.Revision{}, Unused: unusedOf(mesh.Status.Revisions), Good: good(mesh),
	}}
	if spec.UpgradeStrategy != nil {
		out.world.Strategy = *spec.UpgradeStrategy
	}
	if !revision.HasControlPlane(spec) {
		// Gateways alone have nothing that could stand beside what they are.
		out.world.Strategy.Type = v1alpha1.InPlace
	}
	for childName, child := range children {
		out.world.Revisions[childName] = see(child)
	}
	if layout == nil {
		return out, nil
	}
	out.use, err = r.usage(ctx, name, slices.Collect(maps.Keys(layout.Identities)))
	if err != nil {
		// Not known: nothing is taken away, and all else goes on.
		log.FromContext(ctx).Error(err, "cannot see what is on the revisions")
	} else {
		out.world.Usage = out.use.needs
	}
	return out, r.lookCloser(ctx, mesh, out)
}

// restored is a layout with what somebody deleted of it by hand: control planes
// that have pods must come back as they were, not go with what named them. The
// status remembers them. A layout that nobody remembers is that of a new mesh.
func restored(layout *upgrade.Layout, mesh *v1alpha1.MeshOperator) *upgrade.Layout {
	up := mesh.Status.Upgrade
	whole := layout == nil
	for _, row := range mesh.Status.Revisions {
		if whole && row.Serving {
			layout = &upgrade.Layout{
				Identities: map[string]v1alpha1.Identity{}, Entry: row.Name,
				Gateways: upgrade.Gateways{Revision: row.Name, Identity: row.Identity},
			}
		}
	}
	if layout == nil {
		return nil
	}
	for _, row := range mesh.Status.Revisions {
		_, there := layout.Identities[row.Name]
		needed := whole || row.Name == layout.Entry || up != nil && up.Phase != v1alpha1.UpgradeFailed && row.Name == up.From
		if needed && !there {
			layout.Identities[row.Name] = row.Identity
		}
	}
	return layout
}

// lookCloser sees to what only an upgrade needs to know.
func (r *Reconciler) lookCloser(ctx context.Context, mesh *v1alpha1.MeshOperator, o *observed) error {
	up := mesh.Status.Upgrade
	if up == nil || up.From == up.To || up.Phase == v1alpha1.UpgradeFailed {
		r.moves(mesh.Name, false)
		return nil
	}
	r.moves(mesh.Name, true)
	if o.world.Usage == nil {
		return errors.New("it is not known which pods are on which revision")
	}
	var err error
	if o.world.Workloads, err = r.workloads(ctx, o.use, up.To); err != nil {
		return err
	}
	switch child := o.children[up.To]; {
	case child == nil:
	case up.Phase == v1alpha1.UpgradeInstalling, up.Phase == v1alpha1.UpgradeMoving, up.Phase == v1alpha1.UpgradeSoaking:
		o.world.Verdict = r.analyse(ctx, mesh.Name, child.Spec.Namespace, o.world)
	}
	return nil
}

// children returns the MeshRevisions of a mesh.
func (r *Reconciler) children(ctx context.Context, mesh *v1alpha1.MeshOperator) (map[string]*v1alpha1.MeshRevision, error) {
	var list v1alpha1.MeshRevisionList
	if err := r.Client.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("list MeshRevisions: %w", err)
	}
	out := map[string]*v1alpha1.MeshRevision{}
	for i := range list.Items {
		if child := &list.Items[i]; metav1.IsControlledBy(child, mesh) {
			out[child.Name] = child
		}
	}
	return out, nil
}

// see reads the conditions of a MeshRevision, as far as they are of its spec.
func see(child *v1alpha1.MeshRevision) upgrade.Revision {
	if !child.DeletionTimestamp.IsZero() {
		return upgrade.Revision{Message: "MeshRevision " + child.Name + " is being deleted"}
	}
	if child.Status.ObservedGeneration != child.Generation {
		return upgrade.Revision{Message: "MeshRevision " + child.Name + " is not acted on yet"}
	}
	if c := meta.FindStatusCondition(child.Status.Conditions, v1alpha1.ConditionStalled); c != nil && c.Status == metav1.ConditionTrue {
		return upgrade.Revision{Stalled: c.Message, Message: c.Message}
	}
	c := meta.FindStatusCondition(child.Status.Conditions, v1alpha1.ConditionReady)
	if c != nil && c.Status == metav1.ConditionTrue && c.ObservedGeneration == child.Generation {
		return upgrade.Revision{Ready: true}
	}
	return upgrade.Revision{Message: progress(child)}
}

// unusedOf reads since when revisions are not needed.
func unusedOf(list []v1alpha1.RevisionStatus) map[string]time.Time {
	out := map[string]time.Time{}
	for _, one := range list {
		if one.UnusedTime != nil {
			out[one.Name] = one.UnusedTime.Time
		}
	}
	return out
}

// good is the identity that was ready last.
func good(mesh *v1alpha1.MeshOperator) *v1alpha1.Identity {
	if len(mesh.Status.History) == 0 {
		return nil
	}
	return &mesh.Status.History[0].Identity
}
