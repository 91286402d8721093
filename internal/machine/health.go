// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"context"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/meshwright/meshwright/internal/ir"
)

// Health is the condition of an entry that says whether its workload can be called. Its text is not what the machine
// says of itself each time, but what it said when the condition turned.
type Health struct {
	Healthy bool
	Message string
	Since   time.Time
}

// health is what a machine's agent tells through this replica.
type health struct {
	streams int
	Health
	written types.UID // of the entry whose status says so
}

// maxMessage bounds what a machine can put into a status.
const maxMessage = 512

// Health takes what the stream's agent says of the workload: what is wrong, or nothing.
func (v *Visit) Health(problem string) {
	r := v.registry
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	key := v.machine.Entry
	h := r.health[key]
	if h == nil {
		h = &health{}
		r.health[key] = h
	}
	first := !v.reported
	if first {
		v.reported = true
		h.streams++
	}
	if healthy := problem == ""; first && h.streams == 1 || healthy != h.Healthy {
		h.Health = Health{Healthy: healthy, Message: shorten(problem), Since: r.options.Now()}
		h.written = ""
	}
	if h.written == "" {
		r.queue.Add(key)
	}
}

// unreport forgets what an agent said that is away: what it said of an entry holds until that goes, and no longer. The
// lock is held.
func (r *Registry) unreport(key ir.ConfigKey) {
	h := r.health[key]
	if h == nil {
		return
	}
	if h.streams--; h.streams <= 0 {
		delete(r.health, key)
	}
}

// tell writes the health of an entry's workload, unless its status says so.
func (r *Registry) tell(ctx context.Context, key ir.ConfigKey, e *Entry) error {
	r.mu.Lock()
	h := r.health[key]
	if e == nil || !e.Registered || e.Deleting || h == nil || h.written == e.UID {
		r.mu.Unlock()
		return nil
	}
	next := h.Health
	r.mu.Unlock()
	if err := r.pace.Wait(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if err := r.options.Store.SetHealth(ctx, key, e.UID, next); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if h.Health == next {
		h.written = e.UID
	} else {
		r.queue.Add(key)
	}
	return nil
}

func shorten(s string) string {
	if len(s) > maxMessage {
		s = strings.ToValidUTF8(s[:maxMessage], "")
	}
	return s
}
