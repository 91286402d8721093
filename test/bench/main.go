// SPDX-License-Identifier: Apache-2.0

// Command bench measures the control plane: it starts a bare API server,
// fills it with services, starts the control plane against it and connects
// many delta discovery clients that subscribe and acknowledge as Envoy does.
// It prints the rows of the table in docs/performance.md, with the limits that
// they should keep.
//
// The times are from just before the write to the API server until a client
// has the resource, so they include the API server. Clients, API server and
// control plane share the machine, in a process each.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/meshwright/meshwright/internal/meshconfig"
	"github.com/meshwright/meshwright/test/integration/apiserver"
)

type options struct {
	services, routed, clients, changes int
	rate, seconds                      int
	large                              bool
	kubeconfig, binary                 string
}

func main() {
	var o options
	var echo bool
	// Packages that are used here register flags of their own.
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&o.services, "services", 1000, "number of services, each with one HTTP and one TCP port and two endpoints")
	flags.IntVar(&o.routed, "routed", 200, "how many of them have a VirtualService and a DestinationRule")
	flags.IntVar(&o.clients, "clients", 200, "number of proxies")
	flags.IntVar(&o.changes, "changes", 100, "how often each kind of change is measured")
	flags.IntVar(&o.rate, "rate", 100, "endpoint changes a second of the steady load")
	flags.IntVar(&o.seconds, "seconds", 60, "seconds of the steady load; 0 for none")
	flags.BoolVar(&o.large, "large", false, "measure the large meshes instead, which takes some GiB and a quarter of an hour")
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig of an empty API server with the CRDs; empty: start one")
	flags.StringVar(&o.binary, "controlplane", "", "the control plane's binary; empty: build it")
	flags.BoolVar(&echo, "echo", false, "internal: be the server that the floor is measured with")
	if err := flags.Parse(os.Args[1:]); err != nil {
		os.Exit(2) // Parse has said why.
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var err error
	if echo {
		err = runEcho(os.Stdin)
	} else {
		err = bench(ctx, o)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// site is where a benchmark runs.
type site struct {
	options
	dir, kubeconfig string
	town            *town
}

func bench(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "meshwright-bench-")
	if err != nil {
		return fmt.Errorf("directory for the run: %w", err)
	}
	defer os.RemoveAll(dir)
	if o.binary, err = build(ctx, o.binary, dir); err != nil {
		return err
	}
	config, kubeconfig, stop, err := server(o, dir)
	if err != nil {
		return err
	}
	defer stop()
	s := &site{options: o, dir: dir, kubeconfig: kubeconfig}
	if s.town, err = newTown(config); err != nil {
		return err
	}
	if err := s.town.found(ctx); err != nil {
		return err
	}
	fmt.Println("| work | limit | measured |\n|---|---|---|")
	if o.large {
		return s.large(ctx)
	}
	return s.standard(ctx)
}

// with runs f with a control plane and clients of its own.
func (s *site) with(ctx context.Context, scope string, clients int, f func(*run) error) error {
	p, err := startControlPlane(s.binary, s.kubeconfig, s.dir, scope)
	if err != nil {
		return err
	}
	defer p.stop()
	r := newRun(s.town, p, clients, s.changes)
	if err := f(r); err != nil {
		return fmt.Errorf("%w; the control plane's last words:\n%s", err, p.lastWords())
	}
	r.fleet.disconnect()
	return nil
}

func (s *site) standard(ctx context.Context) error {
	if err := s.town.grow(ctx, s.services, s.routed); err != nil {
		return err
	}
	err := s.with(ctx, meshconfig.Full, s.clients, func(r *run) error {
		if err := r.coldStart(ctx, 5, 5); err != nil {
			return err
		}
		if err := r.changed(ctx); err != nil {
			return err
		}
		if s.seconds > 0 {
			if err := r.churn(ctx, s.rate, s.seconds); err != nil {
				return err
			}
		}
		if err := r.reconnect(ctx); err != nil {
			return err
		}
		if err := r.peak(fmt.Sprintf("peak memory, %d services and %d clients, all of the above", s.services, s.clients), 250); err != nil {
			return err
		}
		if err := r.further(ctx); err != nil {
			return err
		}
		return r.sidecar(ctx, fmt.Sprintf("a real Envoy sidecar, idle, among %d services: holding all", s.town.services), s.dir)
	})
	if err != nil {
		return err
	}
	err = s.with(ctx, meshconfig.OnDemand, s.clients, func(r *run) error {
		if err := r.process.ready(ctx); err != nil {
			return err
		}
		time.Sleep(settling)
		if err := r.onDemand(ctx); err != nil {
			return err
		}
		return r.sidecar(ctx, "the same on demand", s.dir)
	})
	if err != nil {
		return err
	}
	return floor(ctx, s.town, s.clients, s.changes, assignment, s.dir)
}

const (
	// settling is longer than a control plane takes to read the cluster.
	settling = 5 * time.Second
	// assignment is about the size of one client's part of an EndpointSlice change, in bytes.
	assignment = 580
)

// large are the meshes that take much memory, the generator's included. The
// town grows from one to the next.
func (s *site) large(ctx context.Context) error {
	const few = 50 // Clients for what does not depend on their number.
	cpu := map[int]float64{}
	for _, size := range []struct {
		services, clients int
		peak              float64
	}{{1000, few, 0}, {2000, 2000, 600}, {5000, 1000, 900}, {10000, few, 0}} {
		if err := s.town.grow(ctx, size.services, size.services/5); err != nil {
			return err
		}
		err := s.with(ctx, meshconfig.Full, size.clients, func(r *run) error {
			if err := r.coldStart(ctx, 0, 0); err != nil {
				return err
			}
			if size.peak > 0 {
				return r.peak(fmt.Sprintf("peak memory, %d services and %d clients", size.services, size.clients), size.peak)
			}
			c, err := r.measure(ctx, change{
				work: fmt.Sprintf("one EndpointSlice change, %d services and %d clients", size.services, size.clients),
				kind: endpoints, port: httpPort, service: func(n int) int { return n % size.services }, write: r.changeEndpoints,
			})
			cpu[size.services] = milliseconds(c.cpu)
			return err
		})
		if err != nil {
			return err
		}
	}
	row{"CPU of one change among 10000 services against one among 1000", []figure{atMost("%.2f times", cpu[10000]/cpu[1000], 1.3)}}.print(os.Stdout)
	return nil
}

// server gives an API server with the CRDs.
func server(o options, dir string) (*rest.Config, string, func(), error) {
	if o.kubeconfig != "" {
		config, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
		if err != nil {
			return nil, "", nil, fmt.Errorf("kubeconfig %s: %w", o.kubeconfig, err)
		}
		return config, o.kubeconfig, func() {}, nil
	}
	s, err := apiserver.Start(apiserver.Options{CRDs: []string{filepath.Join("charts", "base", "files", "crds")}})
	if err != nil {
		return nil, "", nil, err
	}
	stop := func() {
		if err := s.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
	}
	path := filepath.Join(dir, "kubeconfig")
	if err := os.WriteFile(path, s.Kubeconfig, 0o600); err != nil {
		stop()
		return nil, "", nil, fmt.Errorf("write the kubeconfig: %w", err)
	}
	return s.Config, path, stop, nil
}
