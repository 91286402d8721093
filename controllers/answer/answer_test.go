// SPDX-License-Identifier: Apache-2.0

package answer_test

import (
	"errors"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/meshwright/meshwright/controllers/answer"
	"github.com/meshwright/meshwright/internal/conditions"
)

func TestOf(t *testing.T) {
	plain := errors.New("no answer")
	for name, c := range map[string]struct {
		outcome error
		after   time.Duration
		err     error
	}{
		"ready":             {nil, time.Hour, nil},
		"waits":             {conditions.Wait("R", 0, "m"), time.Second, nil},
		"waits so long":     {conditions.Wait("R", 3*time.Second, "m"), 3 * time.Second, nil},
		"stalled":           {conditions.Stall("R", "m"), time.Minute, nil},
		"terminal":          {conditions.Give("R", "m"), 0, reconcile.TerminalError(nil)},
		"plain, so backoff": {plain, 0, plain},
	} {
		t.Run(name, func(t *testing.T) {
			result, err := answer.Of(c.outcome, time.Hour, time.Second)
			if result.RequeueAfter != c.after || !errors.Is(err, c.err) {
				t.Errorf("got %v, %v, want %v, %v", result.RequeueAfter, err, c.after, c.err)
			}
		})
	}
}
