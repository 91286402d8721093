// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"
)

const (
	maxDelay    = time.Minute
	maxBody     = 1 << 20
	maxKeys     = 10_000
	maxLine     = 64 << 10
	idleTCP     = 5 * time.Minute
	headerWait  = 10 * time.Second
	failHeader  = "X-Fail-First"
	keyHeader   = "X-Key"
	readyPath   = "/healthz"
	shutdownMax = 20 * time.Second
)

// serverOptions say where a server listens and how it leaves.
type serverOptions struct {
	http, tcp     string
	host, version string
	// linger is how long the server goes on accepting after SIGTERM. Zero is
	// what most applications do: stop accepting at once, finish what runs.
	linger time.Duration
}

func defaultServer() serverOptions {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return serverOptions{http: ":8080", tcp: ":9090", host: host, version: os.Getenv("VERSION")}
}

func serverCommand() *cobra.Command {
	o := defaultServer()
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Serve HTTP/1.1 and h2c, and a TCP echo",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return runServer(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.http, "http", o.http, "address of the HTTP server")
	f.StringVar(&o.tcp, "tcp", o.tcp, "address of the TCP echo, empty for none")
	f.StringVar(&o.version, "version", o.version, "version told in every answer")
	f.DurationVar(&o.linger, "linger", o.linger, "how long to go on accepting after SIGTERM")
	return cmd
}

// runServer serves until ctx ends, then stops accepting and lets the requests
// in flight finish.
func runServer(ctx context.Context, o serverOptions) error {
	handler := newHandler(o.host, o.version)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	srv := &http.Server{Handler: handler, Protocols: protocols, ReadHeaderTimeout: headerWait}
	listener, err := net.Listen("tcp", o.http)
	if err != nil {
		return fmt.Errorf("listen for HTTP: %w", err)
	}
	failed := make(chan error, 2)
	go func() { failed <- srv.Serve(listener) }()
	if o.tcp != "" {
		plain, err := net.Listen("tcp", o.tcp)
		if err != nil {
			return fmt.Errorf("listen for TCP: %w", err)
		}
		defer plain.Close()
		go func() { failed <- serveTCP(plain) }()
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	time.Sleep(o.linger)
	end, cancel := context.WithTimeout(context.Background(), shutdownMax)
	defer cancel()
	if err := srv.Shutdown(end); err != nil {
		return fmt.Errorf("finish the requests in flight: %w", err)
	}
	return nil
}

// serveTCP sends every line back to who sent it.
func serveTCP(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		go func() {
			defer conn.Close()
			lines := bufio.NewReaderSize(conn, maxLine)
			for {
				if conn.SetDeadline(time.Now().Add(idleTCP)) != nil {
					return
				}
				line, err := lines.ReadSlice('\n')
				if err != nil {
					return
				}
				if _, err := conn.Write(line); err != nil {
					return
				}
			}
		}()
	}
}

// answer is the JSON body that describes one request as it arrived.
type answer struct {
	Host    string              `json:"host"`
	Version string              `json:"version,omitempty"`
	Proto   string              `json:"proto"`
	Method  string              `json:"method"`
	Path    string              `json:"path"`
	Query   string              `json:"query,omitempty"`
	Asked   string              `json:"asked"`
	Remote  string              `json:"remote"`
	Headers map[string][]string `json:"headers"`
	Body    int                 `json:"body"`
	Attempt int                 `json:"attempt,omitempty"`
}

type handler struct {
	host, version string

	mu       sync.Mutex
	attempts map[string]int
}

func newHandler(host, version string) http.Handler {
	return &handler{host: host, version: version, attempts: map[string]int{}}
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == readyPath {
		w.WriteHeader(http.StatusOK)
		return
	}
	body, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	status, attempt, err := h.fate(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := pause(r); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// A client that went away is no concern of the server.
	_ = json.NewEncoder(w).Encode(answer{
		Host: h.host, Version: h.version, Proto: r.Proto, Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery,
		Asked: r.Host, Remote: r.RemoteAddr, Headers: r.Header, Body: int(body), Attempt: attempt,
	})
}

// fate decides the status: what the query asks for, or 503 for the first N
// requests of a key (headers x-fail-first and x-key), 200 otherwise.
func (h *handler) fate(r *http.Request) (status, attempt int, err error) {
	status = http.StatusOK
	if s := r.URL.Query().Get("status"); s != "" {
		if status, err = strconv.Atoi(s); err != nil || status < 200 || status > 599 {
			return 0, 0, fmt.Errorf("query parameter status: %q is no status between 200 and 599", s)
		}
	}
	first := r.Header.Get(failHeader)
	if first == "" {
		return status, 0, nil
	}
	n, err := strconv.Atoi(first)
	if err != nil || n < 0 {
		return 0, 0, fmt.Errorf("header %s: %q is no count", failHeader, first)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.attempts) >= maxKeys {
		clear(h.attempts)
	}
	key := r.Header.Get(keyHeader)
	h.attempts[key]++
	attempt = h.attempts[key]
	if attempt <= n {
		status = http.StatusServiceUnavailable
	}
	return status, attempt, nil
}

func pause(r *http.Request) error {
	s := r.URL.Query().Get("delay")
	if s == "" {
		return nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > maxDelay {
		return fmt.Errorf("query parameter delay: %q is no duration up to %s", s, maxDelay)
	}
	select {
	case <-time.After(d):
	case <-r.Context().Done():
	}
	return nil
}
