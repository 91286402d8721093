// SPDX-License-Identifier: Apache-2.0

package operatorcondition

import (
	"context"
	"testing"
	"time"

	apiv2 "github.com/operator-framework/api/pkg/operators/v2"
	"github.com/operator-framework/operator-lib/conditions"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

var start = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func rollout(name string, since time.Time) v1alpha1.MeshRevision {
	out := v1alpha1.MeshRevision{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if !since.IsZero() {
		out.Status.Conditions = []metav1.Condition{{
			Type: v1alpha1.ConditionReconciling, Status: metav1.ConditionTrue, LastTransitionTime: metav1.NewTime(since),
		}}
	}
	return out
}

func TestUpgradeable(t *testing.T) {
	leaving := rollout("leaving", start)
	leaving.DeletionTimestamp = &metav1.Time{Time: start}
	for name, c := range map[string]struct {
		revisions []v1alpha1.MeshRevision
		status    metav1.ConditionStatus
		again     time.Duration
	}{
		"no mesh":               {nil, metav1.ConditionTrue, 0},
		"a mesh that is ready":  {[]v1alpha1.MeshRevision{rollout("a", time.Time{})}, metav1.ConditionTrue, 0},
		"one that is rolled":    {[]v1alpha1.MeshRevision{rollout("a", time.Time{}), rollout("b", start.Add(-10*time.Minute))}, metav1.ConditionFalse, 20 * time.Minute},
		"two, one of them late": {[]v1alpha1.MeshRevision{rollout("a", start), rollout("b", start.Add(-29*time.Minute))}, metav1.ConditionFalse, time.Minute},
		"one that is stuck":     {[]v1alpha1.MeshRevision{rollout("a", start.Add(-30*time.Minute))}, metav1.ConditionTrue, 0},
		"one that is deleted":   {[]v1alpha1.MeshRevision{leaving}, metav1.ConditionTrue, 0},
	} {
		if got := upgradeable(c.revisions, start); got.status != c.status || got.again != c.again {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

// own is a condition as operator-lib's, of an object that the test names.
type own struct {
	conditions.Condition
	client client.Client
	key    client.ObjectKey
	writes int
}

func (o *own) Get(ctx context.Context) (*metav1.Condition, error) {
	object := &apiv2.OperatorCondition{}
	if err := o.client.Get(ctx, o.key, object); err != nil {
		return nil, err
	}
	if c := meta.FindStatusCondition(object.Spec.Conditions, apiv2.Upgradeable); c != nil {
		return c, nil
	}
	return nil, context.Canceled
}

func (o *own) Set(ctx context.Context, status metav1.ConditionStatus, options ...conditions.Option) error {
	o.writes++
	object := &apiv2.OperatorCondition{}
	if err := o.client.Get(ctx, o.key, object); err != nil {
		return err
	}
	c := metav1.Condition{Type: apiv2.Upgradeable, Status: status}
	for _, option := range options {
		option(&c)
	}
	meta.SetStatusCondition(&object.Spec.Conditions, c)
	return o.client.Update(ctx, object)
}

// TestReconcile: the condition follows the rollout, and is written only when it changes.
func TestReconcile(t *testing.T) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, apiv2.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	revision := rollout("default", start)
	object := &apiv2.OperatorCondition{ObjectMeta: metav1.ObjectMeta{Namespace: "istio-system", Name: "meshwright-operator.v0.1.0"}}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(&revision, object).Build()
	condition := &own{client: c, key: client.ObjectKeyFromObject(object)}
	clock := clocktesting.NewFakePassiveClock(start)
	r := &Reconciler{Client: c, Condition: condition, Clock: clock}
	step := func(status metav1.ConditionStatus, writes int) {
		t.Helper()
		if _, err := r.Reconcile(t.Context(), reconcile.Request{}); err != nil {
			t.Fatal(err)
		}
		if got, err := condition.Get(t.Context()); err != nil || got.Status != status || condition.writes != writes {
			t.Errorf("condition is %+v (%v) after %d writes; want %s after %d", got, err, condition.writes, status, writes)
		}
	}
	step(metav1.ConditionFalse, 1)
	step(metav1.ConditionFalse, 1)
	clock.SetTime(start.Add(patience))
	step(metav1.ConditionTrue, 2)
	if err := c.Delete(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Reconcile(t.Context(), reconcile.Request{}); err == nil {
		t.Error("no error, though there is no OperatorCondition to write to")
	}
}
