// SPDX-License-Identifier: Apache-2.0

package progress

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

// ConditionOf returns a condition that speaks of a generation, or nil.
func ConditionOf(conditions []metav1.Condition, kind string, generation int64) *metav1.Condition {
	if c := meta.FindStatusCondition(conditions, kind); c != nil && c.ObservedGeneration == generation {
		return c
	}
	return nil
}

// AwaitTag waits until a tag serves. It fails with a StalledError or a
// TimeoutError.
func AwaitTag(ctx context.Context, reader client.Reader, name string, limit time.Duration, t *Teller) (*v1alpha1.MeshRevisionTag, error) {
	tag := &v1alpha1.MeshRevisionTag{}
	err := wait.PollUntilContextTimeout(ctx, poll, limit, true, func(ctx context.Context) (bool, error) {
		if err := reader.Get(ctx, types.NamespacedName{Name: name}, tag); err != nil {
			return false, t.endure(err)
		}
		if c := ConditionOf(tag.Status.Conditions, v1alpha1.ConditionStalled, tag.Generation); c != nil && c.Status == metav1.ConditionTrue {
			return false, &StalledError{Kind: kindTag, Name: name, Reason: c.Reason, Message: c.Message}
		}
		c := ConditionOf(tag.Status.Conditions, v1alpha1.ConditionReady, tag.Generation)
		if c != nil {
			t.Say("tag "+name, line(c))
		}
		return c != nil && c.Status == metav1.ConditionTrue, nil
	})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		out := &TimeoutError{Kind: kindTag, Name: name, Limit: limit, Waiting: []string{"no operator has looked at it yet; meshctl version says whether one runs"}}
		if c := ConditionOf(tag.Status.Conditions, v1alpha1.ConditionReady, tag.Generation); c != nil {
			out.Waiting = []string{line(c)}
		}
		return tag, out
	}
	return tag, err
}
