// SPDX-License-Identifier: Apache-2.0

package intake

import (
	"context"
	"fmt"
	"sync"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// Feed lists and watches the configuration objects of one kind and queues the name
// of each that changed, for a controller to fetch it.
//
// An object is held from the moment it was read until it was fetched and done with;
// of all others the feed knows a signature and the status. A change that nothing is
// projected from, as our own writing of status is, queues nothing. A list after an
// outage is compared with what is known, so that nothing is withdrawn in between and
// only differences are queued.
type Feed struct {
	source *source
	synced chan struct{}
	reads  func(status []byte) []byte // nil: nothing is projected from a status

	mu     sync.Mutex
	queue  workqueue.TypedRateLimitingInterface[types.NamespacedName]
	known  map[types.NamespacedName]*entry
	listed bool
	first  map[types.NamespacedName]struct{} // of the first list, and not done with yet
}

// entry is what is known of an object.
type entry struct {
	sign   signature
	status []byte
	object *Object // nil: it was done with, or it is gone
	gone   bool
}

var _ cache.ReflectorStore = (*Feed)(nil)

// NewFeed reads a resource of a group and version. A kind whose CRD is missing counts
// as absent until it is installed. reads is what of a status something is projected
// from; nil: nothing.
func NewFeed(
	config *rest.Config, resource schema.GroupVersionResource, kind string, reads func(status []byte) []byte, log logr.Logger,
) (*Feed, error) {
	client, err := objectClient(config, resource.GroupVersion(), kind)
	if err != nil {
		return nil, fmt.Errorf("client for %s: %w", resource.Resource, err)
	}
	f := &Feed{
		synced: make(chan struct{}),
		reads:  reads,
		known:  map[types.NamespacedName]*entry{},
		first:  map[types.NamespacedName]struct{}{},
	}
	f.source = &source{
		client: client, resource: resource.Resource, example: &Object{}, store: f, log: log, absent: missing, synced: make(chan struct{}),
	}
	return f, nil
}

// Start reads until the context ends; it returns at once.
func (f *Feed) Start(ctx context.Context, queue workqueue.TypedRateLimitingInterface[types.NamespacedName]) error {
	f.mu.Lock()
	f.queue = queue
	f.mu.Unlock()
	go f.source.run(ctx)
	go func() {
		select {
		case <-f.source.synced: // also when the kind is absent
			f.mu.Lock()
			f.listed = true
			f.settle()
			f.mu.Unlock()
		case <-ctx.Done():
		}
	}()
	return nil
}

// Synced is closed when every object that existed at the start was done with.
func (f *Feed) Synced() <-chan struct{} { return f.synced }

// Fetch is the last state of an object that was queued. The object is nil when it is
// gone; ok is false when there is nothing to do.
func (f *Feed) Fetch(name types.NamespacedName) (object *Object, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.known[name]
	if e == nil {
		return nil, false
	}
	return e.object, e.object != nil || e.gone
}

// Done lets go of what Fetch returned, unless the object changed since.
func (f *Feed) Done(name types.NamespacedName, object *Object) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e := f.known[name]; e != nil && e.object == object {
		e.object = nil
		if e.gone {
			delete(f.known, name)
		}
	}
	delete(f.first, name)
	f.settle()
}

// Status is the status, as JSON, that an object had when it was read last; nil when
// it is not known or has none.
func (f *Feed) Status(name types.NamespacedName) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e := f.known[name]; e != nil {
		return e.status
	}
	return nil
}

// settle closes synced once the first list was handed over; the lock is held.
func (f *Feed) settle() {
	if !f.listed || len(f.first) > 0 {
		return
	}
	select {
	case <-f.synced:
	default:
		close(f.synced)
	}
}

// Add takes a new object.
func (f *Feed) Add(obj any) error { return f.Update(obj) }

// Update takes a changed object.
func (f *Feed) Update(obj any) error {
	o, ok := obj.(*Object)
	if !ok {
		return fmt.Errorf("got %T from a watch of %s", obj, f.source.resource)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.take(o)
	return nil
}

// Delete takes an object that is gone.
func (f *Feed) Delete(obj any) error {
	o, ok := obj.(*Object)
	if !ok {
		return fmt.Errorf("got %T from a watch of %s", obj, f.source.resource)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.drop(name(o))
	return nil
}

// Replace takes all objects that exist.
func (f *Feed) Replace(list []any, _ string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	stays := make(map[types.NamespacedName]struct{}, len(list))
	for _, obj := range list {
		o, ok := obj.(*Object)
		if !ok {
			return fmt.Errorf("got %T from a list of %s", obj, f.source.resource)
		}
		stays[name(o)] = struct{}{}
		f.take(o)
	}
	for n := range f.known {
		if _, ok := stays[n]; !ok {
			f.drop(n)
		}
	}
	if !f.source.isSynced() {
		for n, e := range f.known {
			if e.object != nil {
				f.first[n] = struct{}{}
			}
		}
	}
	f.source.read()
	return nil
}

// Resync does nothing: what was done with does not go stale by itself.
func (f *Feed) Resync() error { return nil }

func (f *Feed) take(o *Object) {
	n := name(o)
	e := f.known[n]
	if e == nil {
		e = &entry{}
		f.known[n] = e
	}
	e.status = o.Status
	var read []byte
	if f.reads != nil {
		read = f.reads(o.Status)
	}
	if sign := signed(o, read); sign != e.sign || e.gone {
		e.sign, e.object, e.gone = sign, o, false
		f.queue.Add(n)
	}
}

func (f *Feed) drop(n types.NamespacedName) {
	if e := f.known[n]; e != nil && !e.gone {
		*e = entry{gone: true}
		f.queue.Add(n)
	}
}

func name(o *Object) types.NamespacedName {
	return types.NamespacedName{Namespace: o.Namespace, Name: o.Name}
}
