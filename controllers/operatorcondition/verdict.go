// SPDX-License-Identifier: Apache-2.0

package operatorcondition

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

// patience bounds how long a mesh keeps a newer operator away: one that does not become ready by itself may be what the
// newer operator mends.
const patience = 30 * time.Minute

// Reasons of the condition.
const (
	reasonIdle = "NoRolloutUnderWay"
	reasonBusy = "RolloutUnderWay"
)

// verdict is the condition.
type verdict struct {
	status          metav1.ConditionStatus
	reason, message string
	// again is when it changes by itself; zero means never.
	again time.Duration
}

// upgradeable says whether a newer operator may take over: it carries newer charts, and would roll a mesh out again
// before the rollout that is under way has shown whether it works.
func upgradeable(revisions []v1alpha1.MeshRevision, now time.Time) verdict {
	busy := func(r v1alpha1.MeshRevision) time.Duration {
		c := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionReconciling)
		if c == nil || c.Status != metav1.ConditionTrue || !r.DeletionTimestamp.IsZero() {
			return 0
		}
		return patience - now.Sub(c.LastTransitionTime.Time)
	}
	revisions = slices.Clone(revisions)
	slices.SortFunc(revisions, func(a, b v1alpha1.MeshRevision) int { return cmp.Compare(a.Name, b.Name) })
	var again time.Duration
	first := ""
	for _, r := range revisions {
		left := busy(r)
		if left <= 0 {
			continue
		}
		if first == "" {
			first = r.Name
		}
		if again == 0 || left < again {
			again = left
		}
	}
	if first == "" {
		return verdict{status: metav1.ConditionTrue, reason: reasonIdle, message: "no mesh is being rolled out"}
	}
	return verdict{
		status: metav1.ConditionFalse, reason: reasonBusy, again: again,
		message: fmt.Sprintf("MeshRevision %s is being rolled out; after %s it keeps no newer operator away any more", first, patience),
	}
}
