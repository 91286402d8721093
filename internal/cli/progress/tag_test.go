// SPDX-License-Identifier: Apache-2.0

package progress

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

func TestAwaitTag(t *testing.T) {
	tag := func(conditions ...metav1.Condition) *v1alpha1.MeshRevisionTag {
		out := &v1alpha1.MeshRevisionTag{ObjectMeta: metav1.ObjectMeta{Name: "prod", Generation: 2}}
		out.Status.Conditions = conditions
		return out
	}
	var out bytes.Buffer
	was, waits := tag(condition("Ready", "True", 1, "Ready", "")), tag(condition("Ready", "False", 2, "ControlPlaneNotReady", "no root"))
	now := tag(condition("Ready", "True", 2, "Ready", ""))
	now.Status.Revision = "default"
	got, err := AwaitTag(t.Context(), &script{states: []any{was, waits, now}}, "prod", time.Minute, &Teller{Out: &out, Began: time.Now()})
	if err != nil || got.Status.Revision != "default" || !strings.Contains(out.String(), "ControlPlaneNotReady: no root") {
		t.Errorf("%v, %v: %s", got, err, out.String())
	}
	var stalls *StalledError
	if _, err = AwaitTag(t.Context(), &script{states: []any{tag(condition("Stalled", "True", 2, "RevisionConflict", "taken"))}}, "prod", time.Minute, &Teller{Out: &out}); !errors.As(err, &stalls) {
		t.Errorf("stalled: %v", err)
	}
	var late *TimeoutError
	if _, err = AwaitTag(t.Context(), &script{states: []any{waits}}, "prod", time.Second, &Teller{Out: &out}); !errors.As(err, &late) || !strings.Contains(err.Error(), "no root") {
		t.Errorf("late: %v", err)
	}
}
