// SPDX-License-Identifier: Apache-2.0

// Package operatorcondition tells the Operator Lifecycle Manager, where it installed the operator, whether the operator
// may be replaced by a newer one now.
package operatorcondition

import (
	"context"
	"fmt"
	"time"

	apiv2 "github.com/operator-framework/api/pkg/operators/v2"
	"github.com/operator-framework/operator-lib/conditions"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

// NameVariable is the environment variable in which OLM names the OperatorCondition; where it is empty, nobody asks.
const NameVariable = "OPERATOR_CONDITION_NAME"

// Reconciler writes the condition Upgradeable of the operator's OperatorCondition.
type Reconciler struct {
	// Client reads MeshRevisions from caches.
	Client client.Reader
	// Condition is the condition Upgradeable.
	Condition conditions.Condition
	Clock     clock.PassiveClock
}

// SetupWithManager adds the controller to a manager. It fails outside of a pod, which OLM's operators are in.
func SetupWithManager(mgr ctrl.Manager) error {
	scheme := runtime.NewScheme()
	if err := apiv2.AddToScheme(scheme); err != nil {
		return fmt.Errorf("build scheme: %w", err)
	}
	// A client without a cache: OLM lets the operator read and write this one object, and neither list nor watch.
	direct, err := client.New(mgr.GetConfig(), client.Options{Scheme: scheme, HTTPClient: mgr.GetHTTPClient()})
	if err != nil {
		return fmt.Errorf("make client: %w", err)
	}
	condition, err := conditions.InClusterFactory{Client: direct}.NewCondition(apiv2.ConditionType(apiv2.Upgradeable))
	if err != nil {
		return err
	}
	r := &Reconciler{Client: mgr.GetClient(), Condition: condition, Clock: clock.RealClock{}}
	// All MeshRevisions together are one question.
	one := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
		return []reconcile.Request{{}}
	})
	return ctrl.NewControllerManagedBy(mgr).Named("operatorcondition").Watches(&v1alpha1.MeshRevision{}, one).Complete(r)
}

// Reconcile writes the condition when it is not what it should be.
func (r *Reconciler) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	var revisions v1alpha1.MeshRevisionList
	if err := r.Client.List(ctx, &revisions); err != nil {
		return reconcile.Result{}, fmt.Errorf("list MeshRevisions: %w", err)
	}
	want := upgradeable(revisions.Items, r.Clock.Now())
	// That there is none yet is an error of no kind of its own; Set tells what is wrong, if anything is.
	is, err := r.Condition.Get(ctx)
	if err == nil && is.Status == want.status && is.Reason == want.reason && is.Message == want.message {
		return reconcile.Result{RequeueAfter: want.again}, nil
	}
	err = r.Condition.Set(ctx, want.status, conditions.WithReason(want.reason), conditions.WithMessage(want.message))
	if apierrors.IsConflict(err) {
		// OLM wrote it meanwhile.
		return reconcile.Result{RequeueAfter: time.Second}, nil
	}
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("write the OperatorCondition: %w", err)
	}
	return reconcile.Result{RequeueAfter: want.again}, nil
}
