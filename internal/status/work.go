// SPDX-License-Identifier: Apache-2.0

package status

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/client-go/util/workqueue"

	"github.com/meshwright/meshwright/internal/ir"
)

// work is what the writers of one term of leadership share.
type work struct {
	aggregator *Aggregator
	queue      workqueue.TypedRateLimitingInterface[ir.Origin]
	pace       *rate.Limiter

	mu      sync.Mutex
	written map[ir.Origin]written // by us in this term
	told    map[ir.Origin][]ir.Problem
}

type written struct {
	uid    string // of the object that has it
	report Report
	at     time.Time
}

func newPace(perSecond float64) *rate.Limiter {
	return rate.NewLimiter(rate.Limit(perSecond), max(1, int(2*perSecond)))
}

// write brings one object up to date. Observe, decide, act: only the last part
// changes the world. again is when the object should be looked at once more, 0: not
// before something changes.
func (w *work) write(ctx context.Context, key ir.Origin) (again time.Duration, err error) {
	o, ok := w.aggregator.known(key)
	if !ok {
		w.mu.Lock()
		delete(w.written, key)
		delete(w.told, key)
		w.mu.Unlock()
		return 0, nil
	}
	if key.Kind == kindIngress {
		if err := w.lead(ctx, key, &o); err != nil {
			return 0, err
		}
		return 0, w.tell(ctx, key, &o)
	}
	options := &w.aggregator.options
	now := options.Now()
	next := Report{conditions(key, &o), o.allocated}
	current, last := options.Current(key), w.last(key, o.uid)
	if last.report.Conditions != nil {
		// What is known of the object may be older than our own write.
		current = last.report
	}
	if p := &next.Conditions[len(next.Conditions)-1]; p.Reason == reasonProgrammed && w.aggregator.proxies != nil {
		since, pending := w.aggregator.pending(key, isProgrammed(current.Conditions, o.generation), now)
		lag := now.Sub(since)
		switch {
		case pending && lag < grace:
			return grace - lag, nil
		case pending:
			again = refresh
		}
		w.aggregator.count(p, key, pending, lag)
	}
	steady(next.Conditions, current.Conditions, now.Sub(last.at) >= refresh)
	if same(next.Conditions, current.Conditions) && slices.Equal(next.Addresses, current.Addresses) {
		return again, nil
	}
	stamp(next.Conditions, current.Conditions, now)
	if err := w.pace.Wait(ctx); err != nil {
		return 0, err
	}
	bounded, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if err := options.Writer.Write(bounded, key, o.generation, next); err != nil {
		return 0, err
	}
	w.mu.Lock()
	w.written[key] = written{o.uid, next, now}
	w.mu.Unlock()
	return again, nil
}

// last is what we wrote to the object. An earlier one of its name is another object.
func (w *work) last(key ir.Origin, uid string) written {
	w.mu.Lock()
	defer w.mu.Unlock()
	if last := w.written[key]; last.uid == uid {
		return last
	}
	return written{}
}
