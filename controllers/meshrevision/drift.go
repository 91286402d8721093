// SPDX-License-Identifier: Apache-2.0

package meshrevision

import (
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
	"github.com/meshwright/meshwright/internal/conditions"
)

// driftShown is how long Ready stays False at least after drift was put back, so that whoever watches is told: the
// repair itself takes a few milliseconds, and of two states within them a watcher sees the last.
const driftShown = 3 * time.Second

// drifted remembers and reports that an object was put back.
func (r *Reconciler) drifted(s *scope, name, what string) {
	kind, _, _ := strings.Cut(name, " ")
	driftCorrected.WithLabelValues(kind).Inc()
	s.drift = append(s.drift, name+" "+what)
	r.event(s.revision, corev1.EventTypeWarning, "DriftCorrected", "Apply", name+" "+what+"; it is put back")
}

// shown remembers the drift of each revision that is still told. It is kept here, because the status that a cache has
// may be older than what was written a moment ago.
type shown struct {
	mu   sync.Mutex
	last map[string]told
}

type told struct {
	message string
	until   time.Time
}

func (t *shown) set(revision, message string, until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil {
		t.last = map[string]told{}
	}
	t.last[revision] = told{message: message, until: until}
}

// get returns what is still to be told, and forgets what is not.
func (t *shown) get(revision string, now time.Time) (told, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	last, ok := t.last[revision]
	if ok && !now.Before(last.until) {
		delete(t.last, revision)
		ok = false
	}
	return last, ok
}

// outcome turns the end of the phases into that of the reconcile: drift that was put back in it, or just before, is
// told first.
func (t *shown) outcome(s *scope, failure error, now time.Time) error {
	if failure != nil && conditions.KindOf(failure) != conditions.Waiting {
		return failure
	}
	if len(s.drift) > 0 {
		message := "put back: " + summarize(s.drift)
		t.set(s.revision.Name, message, now.Add(driftShown))
		if failure != nil {
			message += "; now " + failure.Error()
		}
		return conditions.Wait(v1alpha1.ReasonDriftDetected, driftShown, "%s", message)
	}
	if failure != nil {
		return failure
	}
	if last, ok := t.get(s.revision.Name, now); ok {
		return conditions.Wait(v1alpha1.ReasonDriftDetected, last.until.Sub(now), "%s", last.message)
	}
	return nil
}
