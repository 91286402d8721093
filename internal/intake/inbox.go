// SPDX-License-Identifier: Apache-2.0

package intake

import (
	"sync"

	"github.com/meshwright/meshwright/internal/ir"
)

// Inbox merges changes by object until somebody drains them: the last write wins.
// It is bounded by the number of objects, however fast they change.
type Inbox struct {
	mu      sync.Mutex
	pending Batch
	wake    chan struct{}
}

// NewInbox makes an empty inbox.
func NewInbox() *Inbox { return &Inbox{pending: newBatch(), wake: make(chan struct{}, 1)} }

// Put writes changes. The edit must only write entries of the batch's maps, must
// not keep the batch and must not block.
func (i *Inbox) Put(edit func(*Batch)) {
	i.mu.Lock()
	edit(&i.pending)
	i.mu.Unlock()
	select {
	case i.wake <- struct{}{}:
	default: // a wake-up is on its way already
	}
}

// Drain takes everything that changed since the last drain.
func (i *Inbox) Drain() Batch {
	fresh := newBatch()
	i.mu.Lock()
	defer i.mu.Unlock()
	out := i.pending
	i.pending = fresh
	return out
}

// Wake receives after a Put. One receive may stand for many.
func (i *Inbox) Wake() <-chan struct{} { return i.wake }

func newBatch() Batch {
	return Batch{
		Services:            map[ir.ObjectKey]*ir.Service{},
		Slices:              map[ir.ObjectKey]*ir.EndpointSlice{},
		Pods:                map[ir.ObjectKey]*ir.Pod{},
		Nodes:               map[ir.NodeKey]*ir.Node{},
		Namespaces:          map[string]*ir.Namespace{},
		Credentials:         map[ir.ConfigKey]*ir.Credential{},
		Routes:              map[ir.ConfigKey]*ir.Routes{},
		Policies:            map[ir.ConfigKey]*ir.TrafficPolicy{},
		Gateways:            map[ir.ConfigKey]*ir.Gateway{},
		Ingresses:           map[ir.ConfigKey]*ir.Ingress{},
		IngressClasses:      map[string]*ir.IngressClass{},
		ServiceEntries:      map[ir.ConfigKey]*ir.ServiceEntry{},
		WorkloadEntries:     map[ir.ConfigKey]*ir.Workload{},
		WorkloadHealths:     map[ir.ConfigKey]*ir.WorkloadHealth{},
		WorkloadGroups:      map[ir.ConfigKey]*ir.WorkloadGroup{},
		Allocated:           map[ir.ConfigKey]*ir.Allocated{},
		Sidecars:            map[ir.ConfigKey]*ir.Sidecar{},
		PeerAuthentications: map[ir.ConfigKey]*ir.PeerAuthentication{},
		ProxyConfigs:        map[ir.ConfigKey]*ir.ProxyConfig{},
		Statuses:            map[ir.Origin]ConfigStatus{},

		RequestAuthentications: map[ir.ConfigKey]*ir.RequestAuthentication{},
	}
}
