// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
	"slices"
	"time"

	"github.com/meshwright/meshwright/internal/ir"
)

const (
	// grace is what proxies have to take a change before the object says that it is
	// not programmed: most changes are written once.
	grace = time.Second
	// refresh is how often the count of an object that is not programmed is brought
	// up to date.
	refresh = 30 * time.Second
)

// Proxies tells how far proxies are with what became of an object.
type Proxies interface {
	// Settled tells whether all that want it have it; changes differs after each
	// change of what became of the object. It is cheap.
	Settled(object ir.Origin) (settled bool, changes uint64)
	// Progress counts: current of all have it, and laggard is one that has not.
	Progress(object ir.Origin) (current, all int, laggard string)
}

// Follow lets Programmed wait for proxies. Call it before Start.
func (a *Aggregator) Follow(p Proxies) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.proxies = p
}

// Moved takes note that proxies have come further with objects.
func (a *Aggregator) Moved(objects []ir.Origin) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, key := range objects {
		if o := a.objects[key]; o != nil && o.exists {
			a.touch(key)
		}
	}
	a.signal()
}

// advance is where the proxies are with an object. A change counts as done once all
// proxies had it: one that connects later, and takes no requests before it has
// everything, does not make the object less programmed.
type advance struct {
	seen    bool
	changes uint64
	done    bool
	since   time.Time // of the change
}

// pending tells whether a change has not reached all proxies yet, and since when. What
// was written of this generation counts as done for a process that sees the object for
// the first time: proxies may be connecting to it.
func (a *Aggregator) pending(key ir.Origin, was bool, now time.Time) (since time.Time, pending bool) {
	settled, changes := a.proxies.Settled(key)
	a.mu.Lock()
	defer a.mu.Unlock()
	o := a.objects[key]
	if o == nil {
		return time.Time{}, false
	}
	if !o.advance.seen || o.advance.changes != changes {
		o.advance = advance{seen: true, changes: changes, since: now, done: was && !o.advance.seen}
	}
	o.advance.done = o.advance.done || settled
	return o.advance.since, !o.advance.done
}

// count writes how many proxies have it into a condition that has no error.
func (a *Aggregator) count(c *Condition, key ir.Origin, pending bool, lag time.Duration) {
	current, all, laggard := a.proxies.Progress(key)
	switch {
	case pending:
		c.Status, c.Reason = statusFalse, reasonPending
		c.Message = fmt.Sprintf("%d of %d proxies have it", current, all)
		if laggard != "" {
			c.Message += fmt.Sprintf("; %s has not for %s", laggard, lag.Round(time.Second))
		}
	case all == 0:
		c.Message = "no proxy that is connected to the leader uses it"
	default:
		// Who connected since the change was done with is on its way.
		c.Message = fmt.Sprintf("%d of %d proxies have it", current, all)
	}
}

// isProgrammed tells whether conditions say so of a generation.
func isProgrammed(conditions []Condition, generation int64) bool {
	return slices.ContainsFunc(conditions, func(c Condition) bool {
		return c.Type == string(ir.Programmed) && c.Status == statusTrue && c.ObservedGeneration == generation
	})
}

// steady keeps the count that is written already where nothing but the count would
// change: written for good when the change is done with, and now and then before.
func steady(next, current []Condition, mayRefresh bool) {
	for i := range next {
		n := &next[i]
		if n.Type != string(ir.Programmed) || n.Reason != reasonProgrammed && n.Reason != reasonPending {
			continue
		}
		for _, c := range current {
			same := c.Type == n.Type && c.Status == n.Status && c.Reason == n.Reason && c.ObservedGeneration == n.ObservedGeneration
			if same && (n.Reason != reasonPending || !mayRefresh) {
				n.Message = c.Message
			}
		}
	}
}
