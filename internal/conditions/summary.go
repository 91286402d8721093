// SPDX-License-Identifier: Apache-2.0

package conditions

import (
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The three conditions of the kstatus convention. Reconciling and Stalled are
// present only while they are true
// (https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md).
const (
	ready       = "Ready"
	reconciling = "Reconciling"
	stalled     = "Stalled"
)

// maxMessage keeps a status readable; the API allows 32768 bytes.
const maxMessage = 2048

// Summary is the end of one reconcile.
type Summary struct {
	// Generation is the generation of the spec that was reconciled.
	Generation int64
	// Err is nil when everything serves.
	Err error
	// Reason and Message describe success.
	Reason, Message string
	// ErrorReason is the reason of an error of kind Plain.
	ErrorReason string
}

// Write sets Ready, Reconciling and Stalled. A plain error leaves Ready as it
// was observed for the same generation: that the API server did not answer
// says nothing about the mesh.
func Write(list *[]metav1.Condition, s Summary) {
	if s.Err == nil {
		set(list, ready, metav1.ConditionTrue, s.Reason, s.Message, s.Generation)
		meta.RemoveStatusCondition(list, reconciling)
		meta.RemoveStatusCondition(list, stalled)
		return
	}
	reason, message := ReasonOf(s.Err, s.ErrorReason), s.Err.Error()
	switch KindOf(s.Err) {
	case Stalled, Terminal:
		set(list, ready, metav1.ConditionFalse, reason, message, s.Generation)
		set(list, stalled, metav1.ConditionTrue, reason, message, s.Generation)
		meta.RemoveStatusCondition(list, reconciling)
	case Waiting:
		set(list, ready, metav1.ConditionFalse, reason, message, s.Generation)
		set(list, reconciling, metav1.ConditionTrue, reason, message, s.Generation)
		meta.RemoveStatusCondition(list, stalled)
	default:
		before := meta.FindStatusCondition(*list, ready)
		if before == nil || before.ObservedGeneration != s.Generation {
			set(list, ready, metav1.ConditionUnknown, reason, message, s.Generation)
		}
		set(list, reconciling, metav1.ConditionTrue, reason, message, s.Generation)
		meta.RemoveStatusCondition(list, stalled)
	}
}

// Phase sets the condition of one phase from how the phase ended.
func Phase(list *[]metav1.Condition, conditionType string, s Summary) {
	if s.Err == nil {
		set(list, conditionType, metav1.ConditionTrue, s.Reason, s.Message, s.Generation)
		return
	}
	set(list, conditionType, metav1.ConditionFalse, ReasonOf(s.Err, s.ErrorReason), s.Err.Error(), s.Generation)
}

func set(list *[]metav1.Condition, conditionType string, status metav1.ConditionStatus, reason, message string, generation int64) {
	meta.SetStatusCondition(list, metav1.Condition{
		Type: conditionType, Status: status, Reason: reason, Message: short(message), ObservedGeneration: generation,
	})
}

// short cuts a message at a rune's boundary.
func short(message string) string {
	if len(message) <= maxMessage {
		return message
	}
	cut := maxMessage
	for cut > 0 && !utf8.RuneStart(message[cut]) {
		cut--
	}
	return message[:cut] + " ..."
}
