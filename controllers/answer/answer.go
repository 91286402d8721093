// SPDX-License-Identifier: Apache-2.0

// Package answer tells the work queue of a controller how a reconcile ended.
package answer

import (
	"time"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/meshwright/meshwright/internal/conditions"
)

// recheckStalled bounds how long a conflict that went away stays unnoticed.
const recheckStalled = time.Minute

// Of translates the outcome of a reconcile. An object that is as it should be is
// looked at again after ready, one that waits after waiting unless the outcome says
// another time; zero leaves it to the watches.
func Of(outcome error, ready, waiting time.Duration) (reconcile.Result, error) {
	if outcome == nil {
		return reconcile.Result{RequeueAfter: ready}, nil
	}
	switch conditions.KindOf(outcome) {
	case conditions.Waiting:
		return reconcile.Result{RequeueAfter: conditions.AfterOf(outcome, waiting)}, nil
	case conditions.Stalled:
		return reconcile.Result{RequeueAfter: recheckStalled}, nil
	case conditions.Terminal:
		return reconcile.Result{}, reconcile.TerminalError(outcome)
	}
	return reconcile.Result{}, outcome
}
