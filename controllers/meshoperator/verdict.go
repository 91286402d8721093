// SPDX-License-Identifier: Apache-2.0

package meshoperator

import (
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/conditions"
	"github.com/meshwright/meshwright/internal/upgrade"
)

// mostHistory bounds status.history.
const mostHistory = 5

// verdict says what the mesh is after a decision: ready with a message, or why not.
func (r *Reconciler) verdict(mesh *v1alpha1.MeshOperator, children map[string]*v1alpha1.MeshRevision, d upgrade.Decision) (string, error) {
	message, failure := mirror(mesh, children[mesh.Status.Revision])
	if entry := children[d.Layout.Entry]; d.Layout.Entry != mesh.Status.Revision && entry != nil {
		// The control plane of the mesh stands in a MeshRevision of its own.
		shared := mesh.DeepCopy()
		entryMessage, entryFailure := mirror(shared, entry)
		copyCondition(mesh, shared, v1alpha1.ConditionControlPlaneReady)
		if failure == nil {
			message, failure = entryMessage, entryFailure
		}
	}
	up := d.Status
	switch {
	case up == nil && failure == nil:
		remember(mesh, d.Layout.Identities[d.Layout.Entry], r.now())
		return message + retiring(d), nil
	case up == nil:
		return "", failure
	case up.Phase == v1alpha1.UpgradeFailed:
		reason := v1alpha1.ReasonUpgradeFailed
		if s := mesh.Spec.UpgradeStrategy; s != nil && s.Canary != nil && s.Canary.Abort == up.To {
			reason = v1alpha1.ReasonUpgradeAborted
		}
		return "", conditions.Stall(reason, "the upgrade to %s was undone: %s; correct spec.version or spec.image, or set back what they were", up.To, up.Message)
	case up.Phase == v1alpha1.UpgradeRollingBack:
		return "", conditions.Wait(v1alpha1.ReasonRollingBack, d.After, "going back from %s to %s: %s", up.To, up.From, up.Message)
	case mesh.Spec.UpgradeStrategy != nil && mesh.Spec.UpgradeStrategy.Paused:
		return "", conditions.Wait(v1alpha1.ReasonUpgradePaused, d.After, "upgrade from %s to %s: %s", up.From, up.To, up.Message)
	}
	return "", conditions.Wait(v1alpha1.ReasonUpgrading, d.After, "upgrade from %s to %s, %s: %s", up.From, up.To, up.Phase, up.Message)
}

// copyCondition takes one condition over from another status.
func copyCondition(to, from *v1alpha1.MeshOperator, name string) {
	to.Status.Conditions = slices.DeleteFunc(to.Status.Conditions, func(c metav1.Condition) bool { return c.Type == name })
	for _, c := range from.Status.Conditions {
		if c.Type == name {
			to.Status.Conditions = append(to.Status.Conditions, c)
		}
	}
}

// retiring tells of control planes that are kept for those who still need them.
func retiring(d upgrade.Decision) string {
	var out string
	for _, name := range slices.Sorted(maps.Keys(d.Layout.Identities)) {
		if name != d.Layout.Entry {
			out += "; the control plane " + name + " stays until nobody needs it"
		}
	}
	return out
}

// remember puts an identity that is ready into the history.
func remember(mesh *v1alpha1.MeshOperator, identity v1alpha1.Identity, now time.Time) {
	history := mesh.Status.History
	if len(history) > 0 && equality.Semantic.DeepEqual(history[0].Identity, identity) {
		return
	}
	history = append([]v1alpha1.HistoryEntry{{Identity: identity, ReadyTime: metav1.NewTime(now)}}, history...)
	mesh.Status.History = history[:min(len(history), mostHistory)]
}

// revisionsOf lists the control planes of a layout with what is on each.
func revisionsOf(d upgrade.Decision, seen use) []v1alpha1.RevisionStatus {
	var out []v1alpha1.RevisionStatus
	for _, name := range slices.Sorted(maps.Keys(d.Layout.Identities)) {
		row := v1alpha1.RevisionStatus{
			Name: name, Identity: d.Layout.Identities[name], Serving: name == d.Layout.Entry,
			Workloads: int32(seen.workloads(name)), Pods: int32(len(seen.pods[name])),
		}
		if since, unused := d.Unused[name]; unused {
			t := metav1.NewTime(since)
			row.UnusedTime = &t
		}
		out = append(out, row)
	}
	return out
}

// tell reports what became of an upgrade, once for each change.
func (r *Reconciler) tell(mesh *v1alpha1.MeshOperator, d upgrade.Decision) {
	before, now := mesh.Status.Upgrade, d.Status
	switch {
	case d.Outcome == upgrade.Succeeded && before != nil:
		r.event(mesh, corev1.EventTypeNormal, "UpgradeSucceeded", fmt.Sprintf("the mesh is upgraded to %s (%s)", before.To, before.Target.Version))
	case d.Outcome == upgrade.Failed:
		r.event(mesh, corev1.EventTypeWarning, "UpgradeFailed", fmt.Sprintf("the upgrade to %s was undone: %s", now.To, now.Message))
	case now != nil && before == nil:
		r.event(mesh, corev1.EventTypeNormal, "UpgradeStarted", fmt.Sprintf("upgrading from %s to %s (%s)", now.From, now.To, now.Target.Version))
	case now != nil && now.Phase == v1alpha1.UpgradeRollingBack && before.Phase != now.Phase:
		r.event(mesh, corev1.EventTypeWarning, "UpgradeRollingBack", fmt.Sprintf("going back from %s to %s: %s", now.To, now.From, now.Message))
	case now != nil && now.Phase == v1alpha1.UpgradeMoving && (before.Phase != now.Phase || before.Step != now.Step):
		r.event(mesh, corev1.EventTypeNormal, "UpgradeStep", fmt.Sprintf("step %d of %d: moving workloads to %s", now.Step, now.Steps, now.To))
	}
}
