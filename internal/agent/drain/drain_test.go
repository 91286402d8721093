// SPDX-License-Identifier: Apache-2.0

package drain

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"

	"github.com/meshwright/meshwright/internal/agent/admin"
)

// proxy plays back what it is busy with over time.
type proxy struct {
	began   time.Time
	busy    func(since time.Duration) (admin.Activity, error)
	drained []bool
	err     error
}

func (p *proxy) DrainListeners(_ context.Context, inboundOnly bool) error {
	p.drained = append(p.drained, inboundOnly)
	return p.err
}

func (p *proxy) Activity(context.Context) (admin.Activity, error) { return p.busy(time.Since(p.began)) }

func until(end time.Duration, busy admin.Activity) func(time.Duration) (admin.Activity, error) {
	return func(since time.Duration) (admin.Activity, error) {
		if since < end {
			return busy, nil
		}
		return admin.Activity{}, nil
	}
}

func TestDrain(t *testing.T) {
	idle := admin.Activity{Connections: 3}
	tests := []struct {
		name   string
		policy Policy
		busy   func(time.Duration) (admin.Activity, error)
		empty  bool
		// The wait ends between least and most.
		least, most time.Duration
	}{
		{
			name: "sidecar with nothing to do ends soon", policy: Policy{Limit: time.Minute},
			busy: until(0, idle), empty: true, least: quiet, most: time.Second,
		},
		{
			name: "sidecar waits for requests", policy: Policy{Limit: time.Minute},
			busy: until(7*time.Second, admin.Activity{Connections: 1, Requests: 1}), empty: true, least: 7 * time.Second, most: 8 * time.Second,
		},
		{
			name: "sidecar waits for other streams", policy: Policy{Limit: time.Minute},
			busy: until(7*time.Second, admin.Activity{Connections: 1, Streams: 1}), empty: true, least: 7 * time.Second, most: 8 * time.Second,
		},
		{
			name: "sidecar does not wait for idle connections", policy: Policy{Limit: time.Minute},
			busy: until(time.Hour, idle), empty: true, least: quiet, most: time.Second,
		},
		{
			name: "router waits for idle connections", policy: Policy{Limit: time.Minute, UntilClosed: true},
			busy: until(20*time.Second, idle), empty: true, least: 20 * time.Second, most: 21 * time.Second,
		},
		{
			name: "router takes its time for load balancers", policy: Policy{Limit: time.Minute, Minimum: 5 * time.Second, UntilClosed: true},
			busy: until(0, idle), empty: true, least: 5 * time.Second, most: 6 * time.Second,
		},
		{
			name: "limit", policy: Policy{Limit: 10 * time.Second},
			busy: until(time.Hour, admin.Activity{Requests: 1}), least: 10 * time.Second, most: 11 * time.Second,
		},
		{
			name: "minimum above the limit", policy: Policy{Limit: time.Second, Minimum: time.Minute},
			busy: until(0, idle), least: time.Second, most: 2 * time.Second,
		},
		{
			name: "gaps between requests are not the end", policy: Policy{Limit: 10 * time.Second},
			busy: func(since time.Duration) (admin.Activity, error) {
				if since.Milliseconds()/int64(poll/time.Millisecond)%3 == 0 {
					return admin.Activity{Requests: 1}, nil
				}
				return idle, nil
			},
			least: 10 * time.Second, most: 11 * time.Second,
		},
		{
			name: "silence of envoy is not idleness", policy: Policy{Limit: 10 * time.Second},
			busy:  func(time.Duration) (admin.Activity, error) { return admin.Activity{}, errors.New("refused") },
			least: 10 * time.Second, most: 11 * time.Second,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &proxy{began: time.Now(), busy: tt.busy}
				d := NewDrainer(p, logr.Discard())
				empty := d.Drain(t.Context(), tt.policy)
				if took := time.Since(p.began); empty != tt.empty || took < tt.least || took > tt.most {
					t.Errorf("empty %t after %s, want %t between %s and %s", empty, took, tt.empty, tt.least, tt.most)
				}
				d.Drain(t.Context(), Policy{Limit: time.Second})
				if len(p.drained) != 1 {
					t.Errorf("listeners were drained %d times", len(p.drained))
				}
			})
		})
	}
}

func TestDrainFailureStillWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &proxy{began: time.Now(), err: errors.New("not found"), busy: until(3*time.Second, admin.Activity{Requests: 1})}
		if !NewDrainer(p, logr.Discard()).Drain(t.Context(), Policy{Limit: time.Minute}) || time.Since(p.began) < 3*time.Second {
			t.Error("calls in flight were not waited for")
		}
	})
}

func TestDrainEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		p := &proxy{began: time.Now(), busy: until(time.Hour, admin.Activity{Requests: 1})}
		if NewDrainer(p, logr.Discard()).Drain(ctx, Policy{Limit: time.Minute}) || time.Since(p.began) > 3*time.Second {
			t.Error("the wait went on after Envoy was gone")
		}
	})
}
