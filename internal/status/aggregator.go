// SPDX-License-Identifier: Apache-2.0

// Package status tells users about their objects: it gathers what projection,
// the tables and the proxies have to say of each object and writes it into the
// object's conditions.
//
// Gathering never blocks and happens on every replica. Writing is done by the
// replica on which Start runs, which is the leader, and only when a condition
// changed.
package status

import (
	"maps"
	"slices"
	"sync"

	"github.com/meshwright/meshwright/internal/intake"
	"github.com/meshwright/meshwright/internal/ir"
)

// maxRejections bounds the resources that are remembered per object; one is
// enough to make the object not programmed.
const maxRejections = 8

// Aggregator gathers and writes. Its methods may be called concurrently.
type Aggregator struct {
	options Options

	mu       sync.Mutex
	objects  map[ir.Origin]*object
	fresh    []ir.Origin                       // projected, commit not published yet
	rejected map[string]map[ir.Origin]struct{} // objects by refused resource
	refusers map[string]string                 // one proxy that refused it, by resource
	dirty    map[ir.Origin]struct{}            // to be looked at by the writer
	proxies  Proxies                           // nil: nobody tells
	shunned  map[ir.Origin]struct{}            // those of which proxies of other replicas refuse something
	writing  bool                              // Start runs
	wake     chan struct{}
	refused  chan struct{}
}

// object is what is known of one object.
type object struct {
	exists     bool // projected; until then nothing is written
	uid        string
	published  bool // its rows went through a commit
	generation int64
	projection []ir.Problem
	graph      []ir.Problem
	rejections map[string]string // message by resource name
	peers      map[string]string // the same, of proxies of other replicas
	advance    advance
	allocated  []ir.HostAddress // of the mesh, for the object's hosts
	served     bool             // an Ingress: it is for this mesh
}

// refused is what proxies of any replica refused.
func (o *object) refused() map[string]string {
	if len(o.peers) == 0 {
		return o.rejections
	}
	all := maps.Clone(o.peers)
	maps.Copy(all, o.rejections)
	return all
}

// New makes an aggregator.
func New(options Options) *Aggregator {
	options.complete()
	return &Aggregator{
		options:  options,
		objects:  map[ir.Origin]*object{},
		rejected: map[string]map[ir.Origin]struct{}{},
		refusers: map[string]string{},
		dirty:    map[ir.Origin]struct{}{},
		wake:     make(chan struct{}, 1),
		refused:  make(chan struct{}, 1),
	}
}

// Projected takes what projection said of changed objects. It belongs to the
// commit whose Problems call follows.
func (a *Aggregator) Projected(changed map[ir.Origin]intake.ConfigStatus) {
	if len(changed) == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for origin, s := range changed {
		key := origin.Object()
		if s.Deleted {
			a.forget(key)
			continue
		}
		o := a.object(key)
		o.exists = true
		o.uid, o.generation, o.projection = s.UID, s.Generation, s.Problems
		a.fresh = append(a.fresh, key)
	}
}

// Allocated takes the addresses that the hosts of changed objects got, nil when they
// have none any more. It belongs to the commit whose Problems call follows.
func (a *Aggregator) Allocated(changed map[ir.Origin]*ir.Allocated) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, got := range changed {
		o := a.objects[key]
		if o == nil {
			continue // it is gone, and its addresses with it
		}
		o.allocated, o.served = nil, got != nil
		if got != nil {
			o.allocated = got.Addresses
		}
		a.touch(key)
	}
}

// Problems takes all that the tables have to say of each object about which
// something changed, after the commit was published. An object with an empty list
// has no problems any more.
func (a *Aggregator) Problems(changed map[ir.Origin][]ir.Problem) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for origin, problems := range changed {
		key := origin.Object()
		o := a.objects[key]
		if o == nil {
			if len(problems) == 0 {
				continue
			}
			o = a.object(key)
		}
		o.graph = problems
		if !o.exists && len(problems) == 0 {
			delete(a.objects, key) // was kept for its problems only
			continue
		}
		a.touch(key)
	}
	for _, key := range a.fresh {
		if o := a.objects[key]; o != nil {
			o.published = true
			a.touch(key)
		}
	}
	a.fresh = nil
	a.signal()
}

// Rejected takes note that a proxy, whose node is given, refused a resource that comes from an object.
func (a *Aggregator) Rejected(origin ir.Origin, resource, proxy, message string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := origin.Object()
	o := a.objects[key]
	if o == nil || o.rejections[resource] == message {
		return // the object is gone, or this is known
	}
	if _, known := o.rejections[resource]; !known && len(o.rejections) >= maxRejections {
		return
	}
	if o.rejections == nil {
		o.rejections = map[string]string{}
	}
	o.rejections[resource] = message
	if a.rejected[resource] == nil {
		a.rejected[resource] = map[ir.Origin]struct{}{}
	}
	a.rejected[resource][key] = struct{}{}
	a.refusers[resource] = proxy
	a.shared()
	a.touch(key)
	a.signal()
}

// Superseded withdraws rejections of resources that were replaced or removed: what
// a proxy said was about the version before. A version that is refused again is
// reported again.
func (a *Aggregator) Superseded(resources ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range resources {
		for key := range a.rejected[r] {
			delete(a.objects[key].rejections, r)
			a.touch(key)
		}
		if len(a.rejected[r]) > 0 {
			a.withdraw(r)
			a.shared()
		}
	}
	a.signal()
}

func (a *Aggregator) withdraw(resource string) {
	delete(a.rejected, resource)
	delete(a.refusers, resource)
}

func (a *Aggregator) forget(key ir.Origin) {
	o := a.objects[key]
	if o == nil {
		return
	}
	for r := range o.rejections {
		if delete(a.rejected[r], key); len(a.rejected[r]) == 0 {
			a.withdraw(r)
		}
		a.shared()
	}
	delete(a.shunned, key)
	delete(a.objects, key)
	delete(a.dirty, key)
	if a.writing {
		a.touch(key) // the writer forgets it, too
	}
}

func (a *Aggregator) object(key ir.Origin) *object {
	o := a.objects[key]
	if o == nil {
		o = &object{}
		a.objects[key] = o
	}
	return o
}

func (a *Aggregator) touch(key ir.Origin) { a.dirty[key] = struct{}{} }

func (a *Aggregator) signal() {
	if len(a.dirty) == 0 {
		return
	}
	select {
	case a.wake <- struct{}{}:
	default: // a wake-up is on its way already
	}
}

// takeDirty empties the set of objects to be looked at, sorted.
func (a *Aggregator) takeDirty() []ir.Origin {
	a.mu.Lock()
	defer a.mu.Unlock()
	keys := slices.SortedFunc(maps.Keys(a.dirty), ir.Origin.Compare)
	clear(a.dirty)
	return keys
}

// known returns a copy of what is known of an object; ok is false when nothing may
// be said of it, because it is gone or its rows did not go through a commit yet.
func (a *Aggregator) known(key ir.Origin) (o object, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	found := a.objects[key]
	if found == nil || !found.published {
		return object{}, false
	}
	o = *found
	o.rejections = maps.Clone(found.rejections)
	return o, true
}

// touchAll makes the writer look at every object.
func (a *Aggregator) touchAll() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for k := range a.objects {
		a.touch(k)
	}
	a.signal()
}

// problems is everything that is known to be wrong, sorted.
func (o *object) problems() []ir.Problem {
	out := slices.Concat(o.projection, o.graph)
	slices.SortFunc(out, ir.Problem.Compare)
	return slices.Compact(out)
}
