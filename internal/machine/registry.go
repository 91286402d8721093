// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"context"
	"sync"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/client-go/util/workqueue"

	"github.com/meshwright/meshwright/internal/ir"
)

const (
	// workers write side by side, writesPerSecond at most: a thousand machines that come back together must not keep the
	// API server busy.
	workers         = 4
	writesPerSecond = 50
	writeTimeout    = 10 * time.Second
	minBackoff      = 200 * time.Millisecond
	maxBackoff      = 30 * time.Second
	// maxGroupMachines bounds the entries that the machines of one group can make through this replica.
	maxGroupMachines = 10_000
	// replicaPause is between two questions whether the replica of an entry is there.
	replicaPause = 10 * time.Second
)

// Options of a Registry.
type Options struct {
	Store    Store
	Replicas Replicas
	// Self names this process among all that ever were; see Self.
	Self string
	// Revision labels entries; empty for the default revision.
	Revision string
	// Now defaults to the machine's clock.
	Now func() time.Time
	Log logr.Logger
}

// Registry keeps the entries of the machines whose streams end here, and deletes those of machines that are gone. It is
// safe for concurrent use.
type Registry struct {
	options Options
	queue   workqueue.TypedRateLimitingInterface[ir.ConfigKey]
	pace    *rate.Limiter

	mu       sync.Mutex
	loaded   bool // groups were read
	closed   bool // this process is ending: streams end for that reason
	groups   map[ir.ConfigKey]*ir.WorkloadGroup
	entries  map[ir.ConfigKey]Entry // as the API server has them
	machines map[ir.ConfigKey]*presence
	count    map[ir.ConfigKey]int // machines by group
	orphans  map[ir.ConfigKey]orphan
	health   map[ir.ConfigKey]*health
}

// presence is a machine with streams that end here, or ended a moment ago.
type presence struct {
	machine *Machine
	streams int
	since   time.Time // the first of these streams opened
	left    time.Time // the last one ended
}

// orphan is an entry whose replica was away when asked about.
type orphan struct {
	controller string
	since      time.Time // zero: it was there
	asked      time.Time
}

// New makes a registry; Run starts it.
func New(options Options) *Registry {
	if options.Now == nil {
		options.Now = time.Now
	}
	return &Registry{
		options: options,
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[ir.ConfigKey](minBackoff, maxBackoff)),
		pace:     rate.NewLimiter(writesPerSecond, writesPerSecond),
		groups:   map[ir.ConfigKey]*ir.WorkloadGroup{},
		entries:  map[ir.ConfigKey]Entry{},
		machines: map[ir.ConfigKey]*presence{},
		count:    map[ir.ConfigKey]int{},
		orphans:  map[ir.ConfigKey]orphan{},
		health:   map[ir.ConfigKey]*health{},
	}
}

// Update takes what changed of the WorkloadGroups; nil is one that is gone. The first call says that all were read.
func (r *Registry) Update(changed map[ir.ConfigKey]*ir.WorkloadGroup) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.loaded = true
	if len(changed) == 0 {
		return
	}
	for k, g := range changed {
		if g == nil {
			delete(r.groups, k)
		} else {
			r.groups[k] = g
		}
	}
	for k, p := range r.machines {
		if _, hit := changed[p.machine.Group]; hit {
			r.queue.Add(k)
		}
	}
}

// Observe takes what the API server has of a registered entry now; nil: it is gone. It is called again from time to time.
func (r *Registry) Observe(key ir.ConfigKey, e *Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e == nil {
		delete(r.entries, key)
		delete(r.orphans, key)
	} else {
		r.entries[key] = *e
	}
	r.queue.Add(key)
}

// Visit is one stream of a machine.
type Visit struct {
	registry *Registry
	machine  *Machine
	agent    bool
	reported bool
}

// Visit admits a stream; nil is that of a proxy that is not on a machine. The error is for the proxy to show.
func (r *Registry) Visit(node *corev3.Node) (*Visit, error) {
	m, err := Of(node)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if m == nil {
		return nil, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.loaded {
		return nil, status.Error(codes.Unavailable, "the WorkloadGroups were not read yet; try again")
	}
	g := r.groups[m.Group]
	if g == nil {
		return nil, status.Errorf(codes.FailedPrecondition,
			"there is no valid WorkloadGroup %s in namespace %s, with which the machine is to register", m.Group.Name, m.Group.Namespace)
	}
	if g.Template.ServiceAccount != m.Account {
		return nil, status.Errorf(codes.PermissionDenied, "machines of WorkloadGroup %s run as service account %s, this one as %s",
			m.Group, g.Template.ServiceAccount, m.Account)
	}
	v := &Visit{registry: r, machine: m, agent: ofAgent(node)}
	if v.agent {
		return v, nil
	}
	p := r.machines[m.Entry]
	if p == nil {
		if r.count[m.Group] >= maxGroupMachines {
			return nil, status.Errorf(codes.ResourceExhausted, "WorkloadGroup %s has %d machines already", m.Group, maxGroupMachines)
		}
		r.count[m.Group]++
		p = &presence{}
		r.machines[m.Entry] = p
	}
	if p.streams == 0 {
		p.since, p.left = r.options.Now(), time.Time{}
	}
	p.machine = m
	p.streams++
	r.queue.Add(m.Entry)
	return v, nil
}

// Left ends the visit. It is called once.
func (v *Visit) Left() {
	r := v.registry
	r.mu.Lock()
	defer r.mu.Unlock()
	key := v.machine.Entry
	if v.reported {
		r.unreport(key)
	}
	p := r.machines[key]
	if v.agent || p == nil {
		return
	}
	if p.streams--; p.streams > 0 {
		return
	}
	p.left = r.options.Now()
	if !r.closed {
		r.queue.AddAfter(key, settle)
	}
}

// Close is called when this process is about to end all streams: their machines did not leave.
func (r *Registry) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
}

// Run works until the context ends.
func (r *Registry) Run(ctx context.Context) error {
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for r.next(ctx) {
			}
		})
	}
	<-ctx.Done()
	r.queue.ShutDown()
	group.Wait()
	return nil
}

func (r *Registry) next(ctx context.Context) bool {
	key, shutdown := r.queue.Get()
	if shutdown {
		return false
	}
	defer r.queue.Done(key)
	again, err := r.reconcile(ctx, key)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		r.options.Log.Info(msgRetry, keyEntry, key.String(), "error", err.Error())
		r.queue.AddRateLimited(key)
		return true
	case again > 0:
		r.queue.AddAfter(key, again)
	}
	r.queue.Forget(key)
	return true
}

// forget drops a machine that left, once nothing is to be said of it any more. The lock is held.
func (r *Registry) forget(key ir.ConfigKey) {
	p := r.machines[key]
	if p == nil || p.streams > 0 {
		return
	}
	delete(r.machines, key)
	if r.count[p.machine.Group]--; r.count[p.machine.Group] <= 0 {
		delete(r.count, p.machine.Group)
	}
}

// scene is what is known of an entry now; the machine is nil unless it is present.
func (r *Registry) scene(ctx context.Context, key ir.ConfigKey) (s scene, m *Machine, e *entry, err error) {
	away := r.away(ctx, key)
	r.mu.Lock()
	defer r.mu.Unlock()
	s = scene{self: r.options.Self, now: r.options.Now(), orphaned: away}
	if found, ok := r.entries[key]; ok {
		s.entry = &found
	}
	p := r.machines[key]
	if p == nil {
		return s, nil, nil, nil
	}
	s.present, s.since, s.left = p.streams > 0, p.since, p.left
	if !s.present {
		return s, nil, nil, nil
	}
	m = p.machine
	if g := r.groups[m.Group]; g != nil && g.Template.ServiceAccount == m.Account {
		if e, err = want(m, g, r.options.Revision); err != nil {
			return s, nil, nil, err
		}
		s.digest = e.digest
	}
	return s, m, e, nil
}

// away tells since when the replica of an entry is known to be away; zero: it is there, or nobody knows.
func (r *Registry) away(ctx context.Context, key ir.ConfigKey) time.Time {
	r.mu.Lock()
	e, known := r.entries[key]
	seen := r.orphans[key]
	now := r.options.Now()
	r.mu.Unlock()
	if !known || e.Controller == r.options.Self || !e.Disconnected.IsZero() || e.Controller == "" {
		return time.Time{}
	}
	if seen.controller == e.Controller && now.Sub(seen.asked) < replicaPause {
		return seen.since
	}
	next := orphan{controller: e.Controller, asked: now}
	if !r.options.Replicas.Alive(ctx, e.Controller) {
		next.since = now
		if seen.controller == e.Controller && !seen.since.IsZero() {
			next.since = seen.since
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, still := r.entries[key]; still {
		r.orphans[key] = next
	}
	return next.since
}

// reconcile does what is to be done about one entry. again is when to look once more.
func (r *Registry) reconcile(ctx context.Context, key ir.ConfigKey) (again time.Duration, err error) {
	s, m, e, err := r.scene(ctx, key)
	if err != nil {
		return 0, err
	}
	do, again := decide(s)
	if do == nothing {
		r.mu.Lock()
		if !s.present && again == 0 {
			r.forget(key)
		}
		r.mu.Unlock()
		return again, r.tell(ctx, key, s.entry)
	}
	if err := r.pace.Wait(ctx); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return 0, r.act(ctx, do, s, key, m, e)
}
