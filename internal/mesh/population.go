// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"sync"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/meshwright/meshwright/internal/ir"
)

// classGrace is for how long a class without proxies keeps its resources: a
// workload that restarts its only pod comes back to a class that is ready.
const classGrace = time.Minute

// population is the classes that proxies belong to. Streams write it, the loop
// takes the changes.
type population struct {
	where   *places
	mu      sync.Mutex
	changes map[string]*ir.Class // nil: gone
	leaving map[string]*time.Timer
	wake    chan struct{}
}

func newPopulation() *population {
	return &population{
		where:   newPlaces(),
		changes: map[string]*ir.Class{},
		leaving: map[string]*time.Timer{},
		wake:    make(chan struct{}, 1),
	}
}

// ClassWanted notes that a class has its first proxy.
func (p *population) ClassWanted(key string, node *corev3.Node) {
	_, class, err := p.where.classOf(node)
	if err != nil {
		return // it was classified with the same text a moment ago
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.leaving[key]; t != nil {
		t.Stop()
		delete(p.leaving, key)
	}
	p.changes[key] = class
	p.signal()
}

// ClassIdle notes that a class has lost its last proxy.
func (p *population) ClassIdle(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.leaving[key]; t != nil {
		t.Stop()
	}
	var timer *time.Timer
	timer = time.AfterFunc(classGrace, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.leaving[key] != timer {
			return // wanted again since
		}
		delete(p.leaving, key)
		p.changes[key] = nil
		p.signal()
	})
	p.leaving[key] = timer
}

func (p *population) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *population) take() map[string]*ir.Class {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.changes) == 0 {
		return nil
	}
	out := p.changes
	p.changes = map[string]*ir.Class{}
	return out
}
