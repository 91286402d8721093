// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
)

// watch waits for one resource at all clients.
type watch struct {
	typ     string
	matches func(*discovery.Resource) bool
	start   time.Time

	mu   sync.Mutex
	took map[int]time.Duration
	want int
	done chan struct{}
}

// see notes that a client has a resource. A nil watch sees nothing.
func (w *watch) see(index int, typ string, r *discovery.Resource) {
	if w == nil || typ != w.typ || !w.matches(r) {
		return
	}
	took := time.Since(w.start)
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.took[index]; ok || len(w.took) == w.want {
		return
	}
	w.took[index] = took
	if len(w.took) == w.want {
		close(w.done)
	}
}

// expect starts a watch for a resource that all clients should get.
func (f *fleet) expect(typ string, matches func(*discovery.Resource) bool) *watch {
	w := &watch{typ: typ, matches: matches, start: time.Now(), took: map[int]time.Duration{}, want: len(f.clients), done: make(chan struct{})}
	f.watch.Store(w)
	return w
}

// wait returns how long each client waited.
func (w *watch) wait(ctx context.Context) ([]time.Duration, error) {
	select {
	case <-w.done:
	case <-time.After(patience):
		w.mu.Lock()
		defer w.mu.Unlock()
		return nil, fmt.Errorf("%d of %d clients got the change of %s within %v", len(w.took), w.want, short(w.typ), patience)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var took []time.Duration
	for _, d := range w.took {
		took = append(took, d)
	}
	return took, nil
}

// many watches endpoint changes of many hosts at once.
type many struct {
	mu     sync.Mutex
	byHost map[string]*watch
}

// expect watches for the next assignment of a service. A client that gets a
// later one of the same service has the change as well.
func (m *many) expect(f *fleet, i int) *watch {
	w := &watch{typ: typeEndpoint, matches: names(hostOf(i), httpPort), start: time.Now(), took: map[int]time.Duration{}, want: len(f.clients), done: make(chan struct{})}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.byHost[hostOf(i)] = w
	return w
}

// see passes a resource to the watch of its host. A nil many sees nothing.
func (m *many) see(index int, typ string, r *discovery.Resource) {
	if m == nil || typ != typeEndpoint {
		return
	}
	m.mu.Lock()
	w := m.byHost[r.GetName()[strings.LastIndexByte(r.GetName(), '|')+1:]]
	m.mu.Unlock()
	w.see(index, typ, r)
}
