// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"
)

// used is how many services a workload calls, where sidecars hold what they
// use. Each workload has as many others beside its own that no one calls.
const used = 10

// uses are the services that a client's workload calls.
func uses(services int) func(client int) []int {
	return func(client int) []int {
		out := make([]int, used)
		for k := range out {
			out[k] = (client%workloads*2*used + k) % services
		}
		return out
	}
}

// unused is the nth service that no workload calls, whose neighbours do not
// send to it either.
func unused(n, services int) int {
	const spare = used - 1 // A VirtualService sends to the next service, too.
	return (n/spare*2*used + used + 1 + n%spare) % services
}

// onDemand measures sidecars that hold what they use.
func (r *run) onDemand(ctx context.Context) error {
	r.fleet.uses = uses(r.town.services)
	c, err := r.open(ctx, false)
	if err != nil {
		return fmt.Errorf("on demand: %w", err)
	}
	n := len(r.fleet.clients)
	r.row(fmt.Sprintf("on demand, %d clients that use %d services each: connect and ask", n, used), demandFigures(c)...)
	if err := r.idle(ctx); err != nil {
		return err
	}
	r.fleet.disconnect()
	if c, err = r.open(ctx, true); err != nil {
		return fmt.Errorf("on demand: %w", err)
	}
	r.row(fmt.Sprintf("on demand, the same %d clients reconnect", n), demandFigures(c)...)
	return nil
}

func demandFigures(c cost) []figure {
	return []figure{atMost("%.2f s", c.wall.Seconds(), 0.5), atMost("%.2f CPU s", c.cpu.Seconds(), 1), atMost("%.1f MiB sent", mib(c.bytes), 20)}
}

// idle changes what no client uses, adds Services with a TCP and an HTTP port, and
// counts the bytes that are sent.
func (r *run) idle(ctx context.Context) error {
	services := r.town.services
	c, err := r.meter(func() error {
		for n := range r.changes {
			if err := r.town.addService(ctx, r.town.services); err != nil {
				return err
			}
			r.town.services++
			i := unused(n, services)
			if err := r.changeEndpoints(ctx, i); err != nil {
				return err
			}
			if i >= r.town.routed {
				continue
			}
			if err := r.changeVirtualService(ctx, i); err != nil {
				return err
			}
			if err := r.changeDestinationRule(ctx, i); err != nil {
				return err
			}
		}
		// Nothing tells that nothing comes.
		time.Sleep(time.Second)
		return nil
	})
	if err != nil {
		return err
	}
	r.row(fmt.Sprintf("sent to proxies that do not use what %d changes of slices, routes and rules, and as many new Services, were about", r.changes),
		atMost("%.0f bytes", float64(c.bytes), 0), plain("%.1f CPU ms each", milliseconds(c.cpu)/float64(r.changes)))
	return nil
}
