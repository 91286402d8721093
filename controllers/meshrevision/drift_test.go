// SPDX-License-Identifier: Apache-2.0

package meshrevision

import (
	"errors"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/conditions"
)

func TestOutcome(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ready := func(status metav1.ConditionStatus, reason string, age time.Duration) []metav1.Condition {
		return []metav1.Condition{{
			Type: v1alpha1.ConditionReady, Status: status, Reason: reason, Message: "put back: before", LastTransitionTime: metav1.NewTime(now.Add(-age)),
		}}
	}
	waits := conditions.Wait(v1alpha1.ReasonGatewaysNotReady, 0, "a gateway starts")
	for name, c := range map[string]struct {
		before  []metav1.Condition
		drift   []string
		failure error
		want    string
		reason  string
	}{
		"nothing":                 {before: ready(metav1.ConditionTrue, "Ready", time.Second)},
		"drift":                   {drift: []string{"Service a was deleted"}, want: "put back: Service a was deleted", reason: "DriftDetected"},
		"drift that takes a time": {drift: []string{"Deployment a was deleted"}, failure: waits, want: "put back: Deployment a was deleted; now a gateway starts", reason: "DriftDetected"},
		"a moment later":          {before: ready(metav1.ConditionFalse, "DriftDetected", time.Second), want: "put back: before", reason: "DriftDetected"},
		"a while later":           {before: ready(metav1.ConditionFalse, "DriftDetected", driftShown)},
		"it goes on":              {before: ready(metav1.ConditionFalse, "DriftDetected", time.Second), failure: waits, want: "a gateway starts", reason: "GatewaysNotReady"},
		"an error":                {drift: []string{"Service a was deleted"}, failure: errors.New("no answer"), want: "no answer", reason: "none"},
		"a stall":                 {drift: []string{"Service a was deleted"}, failure: conditions.Stall("FieldContested", "stop"), want: "stop", reason: "FieldContested"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &scope{revision: &v1alpha1.MeshRevision{}, drift: c.drift}
			s.revision.Status.Conditions = c.before
			err := s.outcome(c.failure, now)
			if c.want == "" {
				if err != nil {
					t.Errorf("got %v, want none", err)
				}
				return
			}
			if err == nil || err.Error() != c.want || conditions.ReasonOf(err, "none") != c.reason {
				t.Errorf("got %v (%s), want %s (%s)", err, conditions.ReasonOf(err, "none"), c.want, c.reason)
			}
		})
	}
}
