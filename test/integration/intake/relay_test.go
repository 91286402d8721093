// SPDX-License-Identifier: Apache-2.0

//go:build integration

package intake_test

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// relay passes TCP connections on to an API server and can cut them, so that the
// server is away for whoever comes through the relay, and for nobody else.
type relay struct {
	target string
	addr   string

	mu       sync.Mutex
	listener net.Listener
	open     map[net.Conn]struct{}
}

func newRelay(t *testing.T, host string) *relay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target := strings.TrimSuffix(strings.TrimPrefix(host, "https://"), "/")
	r := &relay{target: target, addr: listener.Addr().String(), listener: listener, open: map[net.Conn]struct{}{}}
	go r.serve(listener)
	t.Cleanup(r.cut)
	return r
}

func (r *relay) serve(listener net.Listener) {
	for {
		in, err := listener.Accept()
		if err != nil {
			return // cut
		}
		out, err := net.Dial("tcp", r.target)
		if err != nil {
			_ = in.Close()
			continue
		}
		r.mu.Lock()
		r.open[in], r.open[out] = struct{}{}, struct{}{}
		r.mu.Unlock()
		go r.pass(in, out)
		go r.pass(out, in)
	}
}

func (r *relay) pass(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = to.Close()
	_ = from.Close()
	delete(r.open, to)
	delete(r.open, from)
}

// cut closes all connections and takes no new ones.
func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.listener.Close()
	for c := range r.open {
		_ = c.Close()
	}
}

// mend takes connections again.
func (r *relay) mend(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	r.listener = listener
	r.mu.Unlock()
	go r.serve(listener)
}
