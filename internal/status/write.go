// SPDX-License-Identifier: Apache-2.0

package status

import (
	"context"
	"errors"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/workqueue"

	"github.com/meshwright/meshwright/internal/ir"
)

// Writes are limited, so that a mistake in one object that is referred to by
// thousands cannot keep the API server busy.
const (
	writesPerSecond = 20
	writers         = 4
	minBackoff      = 200 * time.Millisecond
	maxBackoff      = time.Minute
	writeTimeout    = 10 * time.Second
)

// Log messages and keys.
const (
	msgWriteFailed = "Cannot write the status of an object; trying again"
	keyObject      = "object"
)

// ErrUnknownKind says that an origin is of a kind that has no status of ours.
var ErrUnknownKind = errors.New("kind has no status")

// Report is what an object's status has of us.
type Report struct {
	Conditions []Condition
	Addresses  []ir.HostAddress // that its hosts have of the mesh
}

// Writer replaces our part of an object's status. It returns an error of the API
// server as it is.
type Writer interface {
	Write(ctx context.Context, object ir.Origin, generation int64, report Report) error
}

// Options say how status is written.
type Options struct {
	// Writer is required.
	Writer Writer
	// Current is what an object's status has of us now, as far as is known, sorted as
	// it is listed; empty when nothing is known. It spares writes after a start.
	Current func(object ir.Origin) Report
	// Teller tells of objects whose status has no conditions; nil: nobody does.
	Teller Teller
	// Log defaults to no log.
	Log logr.Logger
	// Now defaults to the system's clock.
	Now func() time.Time
	// WritesPerSecond defaults to 20.
	WritesPerSecond float64
}

func (o *Options) complete() {
	if o.Current == nil {
		o.Current = func(ir.Origin) Report { return Report{} }
	}
	if o.Log.GetSink() == nil {
		o.Log = logr.Discard()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.WritesPerSecond <= 0 {
		o.WritesPerSecond = writesPerSecond
	}
}

// Start writes until the context ends. What was gathered before is written first.
// It is for the leader; it may be called again after it has returned.
func (a *Aggregator) Start(ctx context.Context) error {
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[ir.Origin](minBackoff, maxBackoff))
	w := &work{aggregator: a, queue: queue, pace: newPace(a.options.WritesPerSecond), written: map[ir.Origin]written{}, told: map[ir.Origin][]ir.Problem{}}
	done := make(chan struct{})
	for range writers {
		go func() {
			defer func() { done <- struct{}{} }()
			for w.next(ctx) {
			}
		}()
	}
	a.setWriting(true)
	defer a.setWriting(false)
	a.touchAll()
	a.dispatch(ctx, queue)
	queue.ShutDown()
	for range writers {
		<-done
	}
	return nil
}

func (a *Aggregator) setWriting(writing bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.writing = writing
}

// dispatch moves what is dirty into the queue, which knows what is being written.
func (a *Aggregator) dispatch(ctx context.Context, queue workqueue.TypedInterface[ir.Origin]) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
		}
		for _, key := range a.takeDirty() {
			queue.Add(key)
		}
	}
}

func (w *work) next(ctx context.Context) bool {
	key, shutdown := w.queue.Get()
	if shutdown {
		return false
	}
	defer w.queue.Done(key)
	again, err := w.write(ctx, key)
	if again > 0 {
		w.queue.AddAfter(key, again)
	}
	switch {
	case err == nil, ctx.Err() != nil:
		w.queue.Forget(key)
	case apierrors.IsNotFound(err), errors.Is(err, ErrUnknownKind):
		w.queue.Forget(key) // deleted meanwhile, or nothing to write to
	default:
		w.aggregator.options.Log.Error(err, msgWriteFailed, keyObject, key.String())
		w.queue.AddRateLimited(key)
	}
	return true
}
