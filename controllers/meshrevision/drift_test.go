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
	before := func(age time.Duration) *shown {
		out := &shown{}
		out.set("default", "put back: before", now.Add(driftShown-age))
		return out
	}
	waits := conditions.Wait(v1alpha1.ReasonGatewaysNotReady, 0, "a gateway starts")
	for name, c := range map[string]struct {
		before  *shown
		drift   []string
		failure error
		want    string
		reason  string
	}{
		"nothing":                 {before: &shown{}},
		"drift":                   {before: &shown{}, drift: []string{"Service a was deleted"}, want: "put back: Service a was deleted", reason: "DriftDetected"},
		"more drift":              {before: before(time.Second), drift: []string{"Service a was deleted"}, want: "put back: Service a was deleted", reason: "DriftDetected"},
		"drift that takes a time": {before: &shown{}, drift: []string{"Deployment a was deleted"}, failure: waits, want: "put back: Deployment a was deleted; now a gateway starts", reason: "DriftDetected"},
		"a moment later":          {before: before(time.Second), want: "put back: before", reason: "DriftDetected"},
		"a while later":           {before: before(driftShown)},
		"it goes on":              {before: before(time.Second), failure: waits, want: "a gateway starts", reason: "GatewaysNotReady"},
		"an error":                {before: &shown{}, drift: []string{"Service a was deleted"}, failure: errors.New("no answer"), want: "no answer", reason: "none"},
		"a stall":                 {before: &shown{}, drift: []string{"Service a was deleted"}, failure: conditions.Stall("FieldContested", "stop"), want: "stop", reason: "FieldContested"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &scope{revision: &v1alpha1.MeshRevision{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, drift: c.drift}
			err := c.before.outcome(s, c.failure, now)
			if again := c.before.outcome(&scope{revision: s.revision}, nil, now.Add(driftShown-1)); c.drift != nil && conditions.KindOf(c.failure) != conditions.Stalled && c.reason == "DriftDetected" && again == nil {
				t.Error("a look that is just after drift takes it back")
			}
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
