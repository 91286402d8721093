// SPDX-License-Identifier: Apache-2.0

package meshrevision

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/conditions"
)

// driftShown is how long Ready stays False at least after drift was put back, so that whoever watches is told: the
// repair itself takes a few milliseconds, and of two states within them a watcher sees the last.
const driftShown = 3 * time.Second

// drifted remembers and reports that an object was put back.
func (r *Reconciler) drifted(s *scope, name, what string) {
	kind, _, _ := strings.Cut(name, " ")
	driftCorrected.WithLabelValues(kind).Inc()
	s.drift = append(s.drift, name+" "+what)
	r.event(s.revision, corev1.EventTypeWarning, "DriftCorrected", "Apply", name+" "+what+"; it is put back")
}

// outcome turns the end of the phases into that of the reconcile: drift that was put back in it, or just before, is
// told first.
func (s *scope) outcome(failure error, now time.Time) error {
	if failure != nil && conditions.KindOf(failure) != conditions.Waiting {
		return failure
	}
	if len(s.drift) > 0 {
		message := "put back: " + summarize(s.drift)
		if failure != nil {
			message += "; now " + failure.Error()
		}
		return conditions.Wait(v1alpha1.ReasonDriftDetected, driftShown, "%s", message)
	}
	ready := meta.FindStatusCondition(s.revision.Status.Conditions, v1alpha1.ConditionReady)
	if failure != nil || ready == nil || ready.Status != metav1.ConditionFalse || ready.Reason != v1alpha1.ReasonDriftDetected {
		return failure
	}
	if left := driftShown - now.Sub(ready.LastTransitionTime.Time); left > 0 {
		return conditions.Wait(v1alpha1.ReasonDriftDetected, left, "%s", ready.Message)
	}
	return nil
}
