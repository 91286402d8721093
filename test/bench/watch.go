// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// watch waits for one resource at all clients.
type watch struct {
	kind    kind
	matches func(name string) bool
	start   time.Time

	mu   sync.Mutex
	took map[int]time.Duration
	want int
	done chan struct{}
}

// see notes that a client has a resource. A nil watch sees nothing.
func (w *watch) see(index int, k kind, name string) {
	if w == nil || k != w.kind || !w.matches(name) {
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
func (f *fleet) expect(k kind, matches func(string) bool) *watch {
	w := &watch{kind: k, matches: matches, start: time.Now(), took: map[int]time.Duration{}, want: len(f.clients), done: make(chan struct{})}
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
		return nil, fmt.Errorf("%d of %d clients got the change of %s within %v", len(w.took), w.want, typeURLs[w.kind], patience)
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
	w := &watch{kind: endpoints, matches: names(hostOf(i), httpPort), start: time.Now(), took: map[int]time.Duration{}, want: len(f.clients), done: make(chan struct{})}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.byHost[hostOf(i)] = w
	return w
}

// see passes a resource to the watch of its host. A nil many sees nothing.
func (m *many) see(index int, k kind, name string) {
	if m == nil || k != endpoints {
		return
	}
	m.mu.Lock()
	w := m.byHost[name[strings.LastIndexByte(name, '|')+1:]]
	m.mu.Unlock()
	w.see(index, k, name)
}
