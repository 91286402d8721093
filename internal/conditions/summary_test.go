// SPDX-License-Identifier: Apache-2.0

package conditions_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshwright/meshwright/internal/conditions"
)

// text writes conditions in the order of their names.
func text(list []metav1.Condition) map[string]string {
	out := map[string]string{}
	for _, c := range list {
		out[c.Type] = fmt.Sprintf("%s %s %d %s", c.Status, c.Reason, c.ObservedGeneration, c.Message)
	}
	return out
}

func TestWrite(t *testing.T) {
	ready := metav1.Condition{Type: "Ready", Status: metav1.ConditionTrue, Reason: "Ready", ObservedGeneration: 1}
	stalled := metav1.Condition{Type: "Stalled", Status: metav1.ConditionTrue, Reason: "Old", ObservedGeneration: 1}
	reconciling := metav1.Condition{Type: "Reconciling", Status: metav1.ConditionTrue, Reason: "Old", ObservedGeneration: 1}
	for name, c := range map[string]struct {
		before  []metav1.Condition
		summary conditions.Summary
		want    map[string]string
	}{
		"ready": {
			[]metav1.Condition{stalled, reconciling},
			conditions.Summary{Generation: 2, Reason: "Ready", Message: "all serve"},
			map[string]string{"Ready": "True Ready 2 all serve"},
		},
		"waiting": {
			[]metav1.Condition{ready, stalled},
			conditions.Summary{Generation: 2, Err: conditions.Wait("NotYet", time.Second, "waiting for %s", "pods")},
			map[string]string{"Ready": "False NotYet 2 waiting for pods", "Reconciling": "True NotYet 2 waiting for pods"},
		},
		"stalled": {
			[]metav1.Condition{ready, reconciling},
			conditions.Summary{Generation: 2, Err: conditions.Stall("Bad", "wrong")},
			map[string]string{"Ready": "False Bad 2 wrong", "Stalled": "True Bad 2 wrong"},
		},
		"terminal": {
			nil,
			conditions.Summary{Generation: 2, Err: fmt.Errorf("outer: %w", conditions.Give("Fault", "broken"))},
			map[string]string{"Ready": "False Fault 2 outer: broken", "Stalled": "True Fault 2 outer: broken"},
		},
		"plain error, observed": {
			[]metav1.Condition{ready},
			conditions.Summary{Generation: 1, Err: errors.New("no answer"), ErrorReason: "Error"},
			map[string]string{"Ready": "True Ready 1 ", "Reconciling": "True Error 1 no answer"},
		},
		"plain error, new generation": {
			[]metav1.Condition{ready},
			conditions.Summary{Generation: 2, Err: errors.New("no answer"), ErrorReason: "Error"},
			map[string]string{"Ready": "Unknown Error 2 no answer", "Reconciling": "True Error 2 no answer"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			list := append([]metav1.Condition{}, c.before...)
			conditions.Write(&list, c.summary)
			if diff := cmp.Diff(c.want, text(list)); diff != "" {
				t.Errorf("conditions differ (-want +got):\n%s", diff)
			}
			again := append([]metav1.Condition{}, list...)
			conditions.Write(&again, c.summary)
			if diff := cmp.Diff(list, again); diff != "" {
				t.Errorf("writing twice differs:\n%s", diff)
			}
		})
	}
}

func TestPhase(t *testing.T) {
	var list []metav1.Condition
	conditions.Phase(&list, "GatewaysReady", conditions.Summary{Generation: 3, Err: conditions.Wait("NotYet", 0, "pods")})
	if c := meta.FindStatusCondition(list, "GatewaysReady"); c == nil || c.Status != metav1.ConditionFalse || c.Reason != "NotYet" {
		t.Errorf("got %+v", c)
	}
	conditions.Phase(&list, "GatewaysReady", conditions.Summary{Generation: 3, Reason: "Ready"})
	if c := meta.FindStatusCondition(list, "GatewaysReady"); c == nil || c.Status != metav1.ConditionTrue {
		t.Errorf("got %+v", c)
	}
}

func TestLongMessagesAreCutAtARune(t *testing.T) {
	var list []metav1.Condition
	conditions.Write(&list, conditions.Summary{Generation: 1, Err: conditions.Stall("Long", "%s", "x"+strings.Repeat("ü", 5000))})
	for _, c := range list {
		if len(c.Message) > 2100 || !utf8.ValidString(c.Message) {
			t.Errorf("%s: %d bytes, valid: %v", c.Type, len(c.Message), utf8.ValidString(c.Message))
		}
	}
}

func TestOutcome(t *testing.T) {
	wrapped := fmt.Errorf("outer: %w", conditions.Wait("NotYet", 3*time.Second, "pods"))
	if conditions.KindOf(wrapped) != conditions.Waiting || conditions.ReasonOf(wrapped, "x") != "NotYet" || conditions.AfterOf(wrapped, 1) != 3*time.Second {
		t.Errorf("a wrapped outcome is not found: %v", wrapped)
	}
	plain := errors.New("plain")
	if conditions.KindOf(plain) != conditions.Plain || conditions.ReasonOf(plain, "x") != "x" || conditions.AfterOf(plain, 7) != 7 {
		t.Error("a plain error has an outcome")
	}
	if conditions.AfterOf(conditions.Wait("NotYet", 0, "pods"), 9) != 9 {
		t.Error("no time does not mean the caller's")
	}
}
