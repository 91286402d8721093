// SPDX-License-Identifier: Apache-2.0

package status

import (
	"context"
	"sync"

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
	written map[ir.Origin][]Condition // by us in this term
}

func newPace(perSecond float64) *rate.Limiter {
	return rate.NewLimiter(rate.Limit(perSecond), max(1, int(2*perSecond)))
}

// write brings one object up to date. Observe, decide, act: only the last line
// changes the world.
func (w *work) write(ctx context.Context, key ir.Origin) error {
	o, ok := w.aggregator.known(key)
	if !ok {
		w.mu.Lock()
		delete(w.written, key)
		w.mu.Unlock()
		return nil
	}
	next := conditions(key, &o)
	options := &w.aggregator.options
	current := options.Current(key)
	w.mu.Lock()
	last, wrote := w.written[key]
	w.mu.Unlock()
	if wrote {
		// What is known of the object may be older than our own write.
		current = last
	}
	if same(next, current) {
		return nil
	}
	stamp(next, current, options.Now())
	if err := w.pace.Wait(ctx); err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if err := options.Writer.Write(bounded, key, o.generation, next); err != nil {
		return err
	}
	w.mu.Lock()
	w.written[key] = next
	w.mu.Unlock()
	return nil
}
