// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"strings"
)

// activityExpression matches the gauges that Activity adds up. They are in the bootstrap's default set.
const activityExpression = `^(listener\..*\.downstream_cx_active|http\..*\.downstream_(cx|rq)_active)$`

// Activity is what Envoy is busy with on behalf of others; its admin interface does not count.
type Activity struct {
	// Connections are open downstream connections of any kind.
	Connections uint64
	// Requests are HTTP requests in flight.
	Requests uint64
	// Streams are connections that carry something else than HTTP, for which being open is the only sign of use.
	Streams uint64
}

// IsIdle reports that nothing is in flight, although HTTP clients may hold connections open.
func (a Activity) IsIdle() bool { return a.Requests == 0 && a.Streams == 0 }

// Activity reads Envoy's gauges.
func (c *Client) Activity(ctx context.Context) (Activity, error) {
	values, err := c.Values(ctx, activityExpression)
	if err != nil {
		return Activity{}, err
	}
	return activity(values), nil
}

func activity(values map[string]uint64) Activity {
	var a Activity
	var http uint64
	for name, value := range values {
		if strings.HasPrefix(name, "listener.admin.") || strings.HasPrefix(name, "http.admin.") {
			continue
		}
		switch {
		case strings.HasPrefix(name, "listener."):
			// Envoy also counts per worker (listener.ADDRESS.worker_0.downstream_cx_active).
			if !strings.Contains(name, ".worker_") {
				a.Connections += value
			}
		case strings.HasSuffix(name, ".downstream_cx_active"):
			http += value
		case strings.HasSuffix(name, ".downstream_rq_active"):
			a.Requests += value
		}
	}
	// The gauges are not read at one instant, so the difference can come out negative for a moment.
	if a.Connections > http {
		a.Streams = a.Connections - http
	}
	return a
}
