// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
)

// run is one benchmark: what was built, and the measurements in order.
type run struct {
	options
	town    *town
	process *process
	fleet   *fleet
	// generation makes every change differ from what was before.
	generation int
	// ruled counts the changes of each DestinationRule.
	ruled map[int]int
}

func (r *run) all(ctx context.Context) error {
	for _, step := range []func(context.Context) error{
		r.connect, r.endpoints, r.virtualServices, r.destinationRules, r.newServices, r.churning, r.reconnect, r.restart,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// meter measures bytes and what the control plane uses during f.
func (r *run) meter(f func() error) (cpu time.Duration, bytes int64, after usage, err error) {
	before, err := r.process.usage()
	if err != nil {
		return 0, 0, before, err
	}
	start := r.fleet.bytes.Load()
	if err := f(); err != nil {
		return 0, 0, before, err
	}
	after, err = r.process.usage()
	return after.cpu - before.cpu, r.fleet.bytes.Load() - start, after, err
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

func (r *run) report(work, result string, cpu time.Duration, bytes int64, u usage) {
	fmt.Printf("%-44s %s; %.2f CPU s, %.2f MiB sent, memory %.0f MiB, peak %.0f MiB\n",
		work, result, cpu.Seconds(), mib(bytes), mib(u.rss), mib(u.max))
}

// connect opens all clients at once, as after an outage.
func (r *run) connect(ctx context.Context) error {
	return r.open(ctx, fmt.Sprintf("%d clients connect, all in sync", r.clients), false)
}

func (r *run) open(ctx context.Context, work string, keep bool) error {
	var took time.Duration
	cpu, bytes, u, err := r.meter(func() error {
		start := time.Now()
		if err := r.fleet.connect(keep); err != nil {
			return err
		}
		end, err := r.fleet.sync(ctx, r.services)
		took = end.Sub(start)
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", work, err)
	}
	r.report(work, took.Round(time.Millisecond).String(), cpu, bytes, u)
	return nil
}

// reconnect is the same proxies on new connections: they hold everything.
func (r *run) reconnect(ctx context.Context) error {
	for _, c := range r.fleet.clients {
		c.disconnect()
	}
	return r.open(ctx, "the same clients reconnect", true)
}

// restart is new proxies: they hold nothing.
func (r *run) restart(ctx context.Context) error {
	for _, c := range r.fleet.clients {
		c.disconnect()
	}
	return r.open(ctx, "new clients connect", false)
}

// each measures a kind of change: write changes service i, and all clients
// must get a resource of the type that names its host.
func (r *run) each(ctx context.Context, work, typ string, of int, write func(i int) error, port int) error {
	var all []time.Duration
	cpu, bytes, u, err := r.meter(func() error {
		for n := range r.changes {
			i := n * max(1, of/r.changes) % of
			w := r.fleet.expect(typ, names(hostOf(i), port))
			if err := write(i); err != nil {
				return err
			}
			took, err := w.wait(ctx)
			if err != nil {
				return err
			}
			all = append(all, took...)
			// A change at a time: what the last one started must be over.
			time.Sleep(20 * time.Millisecond)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w", work, err)
	}
	slices.Sort(all)
	r.report(fmt.Sprintf("%s (%d times)", work, r.changes), fmt.Sprintf("p50 %s, p99 %s, max %s",
		ms(quantile(all, 0.5)), ms(quantile(all, 0.99)), ms(quantile(all, 1))), cpu, bytes, u)
	return nil
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }

// names matches resources of a host, and of its port where the name has one.
func names(host string, port int) func(*discovery.Resource) bool {
	return func(r *discovery.Resource) bool {
		return strings.Contains(r.GetName(), host) && (port == 0 || strings.Contains(r.GetName(), fmt.Sprintf("|%d|", port)))
	}
}

func (r *run) endpoints(ctx context.Context) error {
	return r.each(ctx, "one EndpointSlice change", typeEndpoint, r.services, func(i int) error {
		r.generation++
		return r.town.changeEndpoints(ctx, i, r.generation)
	}, httpPort)
}

func (r *run) virtualServices(ctx context.Context) error {
	if r.town.routed == 0 {
		return nil
	}
	return r.each(ctx, "one VirtualService change", typeHost, r.town.routed, func(i int) error {
		r.generation++
		return r.town.changeVirtualService(ctx, i, r.generation)
	}, 0)
}

func (r *run) destinationRules(ctx context.Context) error {
	if r.town.routed == 0 {
		return nil
	}
	return r.each(ctx, "one DestinationRule change", typeCluster, r.town.routed, func(i int) error {
		r.ruled[i]++
		return r.town.changeDestinationRule(ctx, i, 1+r.ruled[i])
	}, httpPort)
}

// newServices adds services until their hosts are at all clients.
func (r *run) newServices(ctx context.Context) error {
	next := r.services
	var all []time.Duration
	cpu, bytes, u, err := r.meter(func() error {
		for range r.changes {
			i := next
			next++
			w := r.fleet.expect(typeHost, names(hostOf(i), 0))
			if err := r.town.addService(ctx, i); err != nil {
				return err
			}
			took, err := w.wait(ctx)
			if err != nil {
				return err
			}
			all = append(all, took...)
			time.Sleep(20 * time.Millisecond)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("new services: %w", err)
	}
	r.services = next
	slices.Sort(all)
	r.report(fmt.Sprintf("one new Service, until it is routed (%d times)", r.changes), fmt.Sprintf("p50 %s, p99 %s, max %s",
		ms(quantile(all, 0.5)), ms(quantile(all, 0.99)), ms(quantile(all, 1))), cpu, bytes, u)
	return nil
}

// churning changes endpoints at a steady rate and measures every change, also
// those that come while the ones before are still on their way.
func (r *run) churning(ctx context.Context) error {
	if r.churn == 0 {
		return nil
	}
	const interval = 50 * time.Millisecond
	var watches []*watch
	many := &many{byHost: map[string]*watch{}}
	cpu, bytes, u, err := r.meter(func() error {
		r.fleet.many.Store(many)
		defer r.fleet.many.Store(nil)
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for n := range int(time.Duration(r.churn) * time.Second / interval) {
			i := n % r.services
			watches = append(watches, many.expect(r.fleet, i))
			r.generation++
			if err := r.town.changeEndpoints(ctx, i, r.generation); err != nil {
				return err
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		// A host that changed again replaced its watch; the last one counts.
		for _, w := range many.byHost {
			if _, err := w.wait(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("churn: %w", err)
	}
	var all []time.Duration
	for _, w := range watches {
		for _, d := range w.took {
			all = append(all, d)
		}
	}
	slices.Sort(all)
	r.report(fmt.Sprintf("20 endpoint changes/s for %d s", r.churn), fmt.Sprintf("p50 %s, p99 %s, max %s",
		ms(quantile(all, 0.5)), ms(quantile(all, 0.99)), ms(quantile(all, 1))), cpu, bytes, u)
	return nil
}
