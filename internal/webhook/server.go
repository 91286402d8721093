// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	stdlog "log"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/go-logr/logr"

	"github.com/meshwright/meshwright/internal/report"
)

// Paths of the server.
const (
	PathInject   = "/inject"
	PathValidate = "/validate"
	PathReady    = "/readyz"
	PathLive     = "/livez"
)

const (
	// The API server's longest webhook timeout is 30 s.
	readTimeout  = 30 * time.Second
	writeTimeout = 30 * time.Second
	idleTimeout  = 2 * time.Minute
	// maxReviews bounds the reviews under way, and with maxReviewBytes the memory that they can take.
	maxReviews = 64
)

// Check is one condition of readiness; Ready returns nil when it holds.
type Check struct {
	Name  string
	Ready func() error
}

// Server answers admission reviews and the kubelet's probes on one HTTPS port.
type Server struct {
	mux    *http.ServeMux
	tls    *tls.Config
	checks []Check
	slots  chan struct{}
	log    logr.Logger
}

// NewServer serves the reviewers by path; a nil one is not served. config must give a certificate. The kubelet's
// readiness probe sees all checks, and who asks what this replica says of itself gets tell; nil means that it says nothing.
func NewServer(config *tls.Config, reviewers map[string]Reviewer, checks []Check, tell func() report.Report, log logr.Logger) *Server {
	s := &Server{mux: http.NewServeMux(), tls: config, checks: checks, slots: make(chan struct{}, maxReviews), log: log}
	for path, reviewer := range reviewers {
		if reviewer == nil {
			continue
		}
		s.mux.Handle(path, s.bounded(handler{find: func(string) (ReviewFunc, error) { return reviewer.Review, nil }, log: log}))
		if branching, ok := reviewer.(Branching); ok {
			s.mux.Handle(path+"/", s.bounded(handler{find: branching.Below, log: log}))
		}
	}
	s.mux.HandleFunc(PathLive, func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok\n") })
	s.mux.HandleFunc(PathReady, s.ready)
	if tell != nil {
		s.mux.Handle(report.Path, &status{make: tell})
	}
	return s
}

// bounded lets only so many reviews run at once; more wait until the API server gives up on them.
func (s *Server) bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case s.slots <- struct{}{}:
			defer func() { <-s.slots }()
			next.ServeHTTP(w, r)
		case <-r.Context().Done():
			http.Error(w, "too many reviews are under way", http.StatusTooManyRequests)
		}
	})
}

// ready answers 503 with the names of the checks that fail. With ?verbose it lists all of them.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	var all, failed strings.Builder
	for _, c := range s.checks {
		if err := c.Ready(); err != nil {
			fmt.Fprintf(&failed, "[-] %s: %v\n", c.Name, err)
			continue
		}
		fmt.Fprintf(&all, "[+] %s: ok\n", c.Name)
	}
	if failed.Len() > 0 {
		answer(w, http.StatusServiceUnavailable, failed.String()+all.String())
		return
	}
	if !r.URL.Query().Has("verbose") {
		all.Reset()
	}
	answer(w, http.StatusOK, all.String()+"ok\n")
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text))
}

// Serve answers on the listener until the context ends; then it lets the requests under way finish, for grace at most.
func (s *Server) Serve(ctx context.Context, listener net.Listener, grace time.Duration) error {
	server := &http.Server{
		Handler: s.mux, TLSConfig: s.tls, ReadTimeout: readTimeout, ReadHeaderTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: 64 << 10, ErrorLog: stdlog.New(debugWriter{s.log}, "", 0),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.ServeTLS(listener, "", "") }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve webhooks on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := server.Shutdown(stop); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("stop serving webhooks: %w", err)
	}
	return server.Close()
}

// debugWriter takes what net/http logs by itself: broken handshakes of port scanners and probes, mostly.
type debugWriter struct{ log logr.Logger }

func (w debugWriter) Write(line []byte) (int, error) {
	w.log.V(1).Info("webhook connection", "error", strings.TrimSpace(string(line)))
	return len(line), nil
}
