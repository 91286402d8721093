// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// echo is a discovery server that does nothing but send: what it takes is the
// floor for what a change takes at a control plane.
type echo struct {
	discovery.UnimplementedAggregatedDiscoveryServiceServer
	mu      sync.Mutex
	streams map[chan *discovery.DeltaDiscoveryResponse]struct{}
}

// DeltaAggregatedResources sends everything that is pushed.
func (e *echo) DeltaAggregatedResources(stream discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	ch := make(chan *discovery.DeltaDiscoveryResponse, 1)
	e.mu.Lock()
	e.streams[ch] = struct{}{}
	e.mu.Unlock()
	go func() {
		for stream.RecvMsg(new(emptypb.Empty)) == nil {
		}
	}()
	for {
		select {
		case m := <-ch:
			if err := stream.Send(m); err != nil {
				return err
			}
		case <-stream.Context().Done():
			return nil
		}
	}
}

// runEcho serves on a socket of a file descriptor that it was given, and sends
// a resource for each line that it reads: its name and its size.
func runEcho(in io.Reader) error {
	l, err := net.FileListener(os.NewFile(3, "listener"))
	if err != nil {
		return fmt.Errorf("listener: %w", err)
	}
	e := &echo{streams: map[chan *discovery.DeltaDiscoveryResponse]struct{}{}}
	g := grpc.NewServer()
	discovery.RegisterAggregatedDiscoveryServiceServer(g, e)
	go func() { _ = g.Serve(l) }()
	for lines := bufio.NewScanner(in); lines.Scan(); {
		var name string
		var size int
		if _, err := fmt.Sscan(lines.Text(), &name, &size); err != nil {
			return fmt.Errorf("line %q: %w", lines.Text(), err)
		}
		m := &discovery.DeltaDiscoveryResponse{TypeUrl: typeURLs[endpoints], Nonce: name, Resources: []*discovery.Resource{{
			Name: name, Version: name, Resource: &anypb.Any{TypeUrl: typeURLs[endpoints], Value: make([]byte, size)},
		}}}
		e.mu.Lock()
		for ch := range e.streams {
			ch <- m
		}
		e.mu.Unlock()
	}
	return nil
}

// floor measures the parts of one EndpointSlice change that are not the
// control plane's: the write to the API server until a watch has it, and as
// many bytes sent to as many clients.
func floor(ctx context.Context, t *town, clients, changes int, bytes int64, dir string) error {
	if err := t.floor(ctx, changes); err != nil {
		return fmt.Errorf("the API server alone: %w", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer file.Close()
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	p := &process{cmd: exec.Command(self, "-echo"), target: l.Addr().String()}
	p.cmd.ExtraFiles = []*os.File{file}
	push, err := p.cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("pipe: %w", err)
	}
	if err := p.start(filepath.Join(dir, "log-echo")); err != nil {
		return err
	}
	defer p.stop()
	r := newRun(t, p, clients, changes)
	if err := r.fleet.connect(false); err != nil {
		return err
	}
	time.Sleep(stillness)
	size := max(0, int(bytes)-2*len(clusterName(0))-len(typeURLs[endpoints])*2-32)
	_, err = r.measure(ctx, change{
		work: fmt.Sprintf("floor: as many bytes to %d clients from a server that does nothing else", clients), kind: endpoints,
		service: func(n int) int { return n },
		write: func(_ context.Context, i int) error {
			_, err := fmt.Fprintln(push, clusterName(i), size)
			return err
		},
	})
	r.fleet.disconnect()
	return err
}

// floor measures the API server: a write until a watch has it.
func (t *town) floor(ctx context.Context, changes int) error {
	w, err := t.kube.DiscoveryV1().EndpointSlices(metav1.NamespaceAll).Watch(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	defer w.Stop()
	const first = 1 << 20 // A generation that nothing else uses.
	var took []time.Duration
	for n := range changes {
		start := time.Now()
		if err := t.changeEndpoints(ctx, n%t.services, first+n); err != nil {
			return err
		}
		for seen := false; !seen; {
			select {
			case event, open := <-w.ResultChan():
				if !open {
					return errors.New("the watch ended")
				}
				slice, ok := event.Object.(metav1.Object)
				seen = ok && event.Type == "MODIFIED" && strings.HasPrefix(slice.GetName(), serviceOf(n%t.services))
			case <-time.After(patience):
				return fmt.Errorf("no event within %v", patience)
			}
		}
		took = append(took, time.Since(start))
		time.Sleep(pause)
	}
	row{"floor: the API server alone, a write until a watch has it", tail(took, 0, 0)}.print(os.Stdout)
	return nil
}
