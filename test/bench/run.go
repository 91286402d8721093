// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// run is one control plane with its clients, and the measurements of it.
type run struct {
	town    *town
	process *process
	fleet   *fleet
	changes int
	// full are the bytes that a sync of everything took.
	full int64
}

func newRun(t *town, p *process, clients, changes int) *run {
	return &run{town: t, process: p, fleet: newFleet(p.target, clients), changes: changes}
}

func (r *run) row(work string, figures ...figure) { row{work, figures}.print(os.Stdout) }

// cost is what a measured step took.
type cost struct {
	wall, cpu time.Duration
	bytes     int64
	after     usage
}

// meter measures bytes and what the control plane uses during f.
func (r *run) meter(f func() error) (cost, error) {
	before, err := r.process.usage()
	if err != nil {
		return cost{}, err
	}
	bytes, start := r.fleet.bytes.Load(), time.Now()
	if err := f(); err != nil {
		return cost{}, err
	}
	wall := time.Since(start)
	after, err := r.process.usage()
	return cost{wall, after.cpu - before.cpu, r.fleet.bytes.Load() - bytes, after}, err
}

// open connects all clients at once and waits until they are in sync; the
// wall time is that until the last of it came.
func (r *run) open(ctx context.Context, keep bool) (cost, error) {
	var took time.Duration
	c, err := r.meter(func() error {
		start := time.Now()
		if err := r.fleet.connect(keep); err != nil {
			return err
		}
		end, err := r.fleet.sync(ctx, r.town.services)
		took = end.Sub(start)
		return err
	})
	c.wall = took
	return c, err
}

// coldStart measures from the start of the process, for which all clients wait
// already.
func (r *run) coldStart(ctx context.Context, wall, cpu float64) error {
	if _, err := r.open(ctx, false); err != nil {
		return fmt.Errorf("cold start: %w", err)
	}
	u, err := r.process.usage()
	if err != nil {
		return err
	}
	r.full = r.fleet.bytes.Load()
	// What open waited for stillness is no part of it.
	took := time.Since(r.process.started) - stillness
	r.row(fmt.Sprintf("cold start: %d services, %d clients waiting, until all are in sync", r.town.services, len(r.fleet.clients)),
		within("%.1f s", took.Seconds(), wall), within("%.1f CPU s", u.cpu.Seconds(), cpu), plain("%.0f MiB sent", mib(r.full)))
	return nil
}

// within is a figure with a limit unless that is 0.
func within(format string, value, most float64) figure {
	if most == 0 {
		return plain(format, value)
	}
	return atMost(format, value, most)
}

// reconnect is the same proxies on new connections: they hold everything.
func (r *run) reconnect(ctx context.Context) error {
	r.fleet.disconnect()
	c, err := r.open(ctx, true)
	if err != nil {
		return fmt.Errorf("reconnect: %w", err)
	}
	r.row(fmt.Sprintf("the same %d clients reconnect, nothing having changed", len(r.fleet.clients)),
		atMost("%.2f s", c.wall.Seconds(), 1), plain("%.2f CPU s", c.cpu.Seconds()), atMost("%.2f %% of a full sync's bytes", 100*float64(c.bytes)/float64(r.full), 5))
	return nil
}

// change is a kind of change that is measured: write changes a service, and
// all clients must get the resource of the kind that names its host.
type change struct {
	work string
	kind kind
	port int
	// service is which one is changed the nth time.
	service  func(n int) int
	write    func(ctx context.Context, i int) error
	p50, p99 float64 // ms
	mib      float64 // for one change
}

// pause is between two changes: what the first one started must be over.
const pause = 20 * time.Millisecond

func (r *run) measure(ctx context.Context, ch change) (cost, error) {
	var all []time.Duration
	c, err := r.meter(func() error {
		for n := range r.changes {
			i := ch.service(n)
			w := r.fleet.expect(ch.kind, names(hostOf(i), ch.port))
			if err := ch.write(ctx, i); err != nil {
				return err
			}
			took, err := w.wait(ctx)
			if err != nil {
				return err
			}
			all = append(all, took...)
			time.Sleep(pause)
		}
		r.fleet.watch.Store(nil)
		return nil
	})
	if err != nil {
		return c, fmt.Errorf("%s: %w", ch.work, err)
	}
	figures := append(tail(all, ch.p50, ch.p99), plain("%.1f CPU ms", milliseconds(c.cpu)/float64(r.changes)),
		within("%.2f MiB each", mib(c.bytes)/float64(r.changes), ch.mib))
	r.row(ch.work, figures...)
	return c, nil
}

// names matches resources of a host, and of its port where the name has one.
func names(host string, port int) func(string) bool {
	part := fmt.Sprintf("|%d|", port)
	return func(name string) bool {
		return strings.Contains(name, host) && (port == 0 || strings.Contains(name, part))
	}
}

func (r *run) changeEndpoints(ctx context.Context, i int) error {
	r.town.generation++
	return r.town.changeEndpoints(ctx, i, r.town.generation)
}

func (r *run) changeVirtualService(ctx context.Context, i int) error {
	r.town.generation++
	return r.town.changeVirtualService(ctx, i, r.town.generation)
}

func (r *run) changeDestinationRule(ctx context.Context, i int) error {
	r.town.ruled[i]++
	return r.town.changeDestinationRule(ctx, i, 1+r.town.ruled[i])
}

// changed measures the kinds of changes one after the other.
func (r *run) changed(ctx context.Context) error {
	among := func(services int) func(int) int {
		return func(n int) int { return n * max(1, services/r.changes) % services }
	}
	to := fmt.Sprintf(", until %d clients have it", len(r.fleet.clients))
	for _, ch := range []change{
		{work: "one EndpointSlice change" + to, kind: endpoints, port: httpPort, service: among(r.town.services), write: r.changeEndpoints, p50: 3, p99: 15},
		{work: "one VirtualService change" + to, kind: hosts, service: among(r.town.routed), write: r.changeVirtualService, p99: 30, mib: 1},
		{work: "one DestinationRule change" + to, kind: clusters, port: httpPort, service: among(r.town.routed), write: r.changeDestinationRule, p99: 50, mib: 2},
	} {
		if _, err := r.measure(ctx, ch); err != nil {
			return err
		}
	}
	next := r.town.services
	_, err := r.measure(ctx, change{
		work: "one new Service" + to, kind: hosts, p99: 50, mib: 4,
		service: func(n int) int { return next + n }, write: r.town.addService,
	})
	r.town.services += r.changes
	return err
}

// churn changes endpoints at a steady rate and measures every change, also
// those that come while the ones before are still on their way.
func (r *run) churn(ctx context.Context, rate, seconds int) error {
	var watches []*watch
	many := &many{byHost: map[string]*watch{}}
	c, err := r.meter(func() error {
		r.fleet.many.Store(many)
		defer r.fleet.many.Store(nil)
		ticker := time.NewTicker(time.Second / time.Duration(rate))
		defer ticker.Stop()
		// A slow write must not slow the rate.
		g, writing := errgroup.WithContext(ctx)
		g.SetLimit(writers)
		for n := range rate * seconds {
			i := n % r.town.services
			watches = append(watches, many.expect(r.fleet, i))
			r.town.generation++
			generation := r.town.generation
			g.Go(func() error { return r.town.changeEndpoints(writing, i, generation) })
			select {
			case <-ticker.C:
			case <-writing.Done():
				return g.Wait()
			}
		}
		if err := g.Wait(); err != nil {
			return err
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
	figures := slices.Concat(tail(all, 0, 50), []figure{
		atMost("%.2f cores", c.cpu.Seconds()/c.wall.Seconds(), 0.5), plain("%.0f changes/s", float64(rate*seconds)/c.wall.Seconds()),
	})
	r.row(fmt.Sprintf("the same, %d changes a second for %d s", rate, seconds), figures...)
	return nil
}
