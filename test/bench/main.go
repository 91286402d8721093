// SPDX-License-Identifier: Apache-2.0

// Command bench measures the control plane: it starts a bare API server,
// fills it with services, starts the control plane against it and connects
// many delta discovery clients that subscribe and acknowledge as Envoy does.
//
// The times are from just before the write to the API server until a client
// has the resource, so they include the API server. Clients, API server and
// control plane share the machine.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/meshwright/meshwright/test/integration/apiserver"
)

type options struct {
	services, routed, clients, changes int
	churn                              int
	kubeconfig, binary                 string
}

func main() {
	var o options
	// Packages that are used here register flags of their own.
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&o.services, "services", 1000, "number of services, each with one HTTP and one TCP port and two endpoints")
	flags.IntVar(&o.routed, "routed", 200, "how many of them have a VirtualService and a DestinationRule")
	flags.IntVar(&o.clients, "clients", 200, "number of proxies")
	flags.IntVar(&o.changes, "changes", 50, "how often each kind of change is measured")
	flags.IntVar(&o.churn, "churn", 30, "seconds of 20 endpoint changes a second; 0 for none")
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig of an empty API server with the CRDs; empty: start one")
	flags.StringVar(&o.binary, "controlplane", "", "the control plane's binary; empty: build it")
	if err := flags.Parse(os.Args[1:]); err != nil {
		os.Exit(2) // Parse has said why.
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := bench(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "meshwright-bench-")
	if err != nil {
		return fmt.Errorf("directory for the run: %w", err)
	}
	defer os.RemoveAll(dir)
	config, kubeconfig, stop, err := server(o, dir)
	if err != nil {
		return err
	}
	defer stop()
	t, err := newTown(config, o.services, o.routed)
	if err != nil {
		return err
	}
	fmt.Printf("creating %d services, %d of them with routing\n", o.services, t.routed)
	if err := t.build(ctx); err != nil {
		return err
	}
	p, err := startControlPlane(ctx, o.binary, kubeconfig, dir)
	if err != nil {
		return err
	}
	defer p.stop()
	if err := p.ready(ctx); err != nil {
		return err
	}
	r := &run{options: o, town: t, process: p, fleet: newFleet(p.target, o.clients), generation: 1, ruled: map[int]int{}}
	if err := r.all(ctx); err != nil {
		return fmt.Errorf("%w; the control plane's last words:\n%s", err, p.lastWords())
	}
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
