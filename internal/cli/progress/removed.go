// SPDX-License-Identifier: Apache-2.0

package progress

import (
	"context"
	"errors"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

// Removed waits until what was installed for a deleted mesh is gone, which ends with its MeshRevisions, and tells what is
// awaited. One that belongs to another mesh since does not count. It fails with a TimeoutError.
func Removed(ctx context.Context, reader client.Reader, mesh *v1alpha1.MeshOperator, revisions []string, limit time.Duration, t *Teller) error {
	var waiting []string
	err := wait.PollUntilContextTimeout(ctx, poll, limit, true, func(ctx context.Context) (bool, error) {
		var list v1alpha1.MeshRevisionList
		if err := reader.List(ctx, &list); err != nil {
			if meta.IsNoMatchError(err) {
				return true, nil
			}
			return false, t.endure(err)
		}
		waiting = nil
		for i := range list.Items {
			r := &list.Items[i]
			if owner := metav1.GetControllerOf(r); !slices.Contains(revisions, r.Name) || owner != nil && owner.UID != mesh.UID {
				continue
			}
			message := "it is being removed"
			if c := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionReady); c != nil && c.Reason == v1alpha1.ReasonDeleting {
				message = c.Message
			}
			waiting = append(waiting, "revision "+r.Name+": "+message)
			t.Say("revision "+r.Name, message)
		}
		return len(waiting) == 0, nil
	})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return &TimeoutError{Name: mesh.Name, Limit: limit, Waiting: waiting, Removal: true}
	}
	return err
}
