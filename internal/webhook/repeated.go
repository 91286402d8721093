// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// repeatEager is the pace until the first success, repeatSteady afterwards; repeatLimit bounds one call.
	repeatEager  = 500 * time.Millisecond
	repeatSteady = 10 * time.Second
	repeatLimit  = 5 * time.Second
)

var errNotYet = errors.New("not checked yet")

// Repeated is a check of the process by itself that is made again and again. Its readiness is the last outcome.
type Repeated struct {
	// Call makes the check once; the context has an end.
	Call func(ctx context.Context) error

	mu   sync.Mutex
	last error
	done bool
}

// Ready is the outcome of the last call.
func (r *Repeated) Ready() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.done {
		return errNotYet
	}
	return r.last
}

// Run calls until the context ends.
func (r *Repeated) Run(ctx context.Context) {
	for {
		err := r.once(ctx)
		pace := repeatSteady
		if err != nil {
			pace = repeatEager
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pace):
		}
	}
}

func (r *Repeated) once(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, repeatLimit)
	defer cancel()
	err := r.Call(bounded)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last, r.done = err, true
	return err
}
