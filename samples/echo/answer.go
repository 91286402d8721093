// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	maxDelay   = time.Minute
	maxBody    = 16 << 20
	maxKeys    = 10_000
	failHeader = "X-Fail-First"
	keyHeader  = "X-Key"
	readyPath  = "/healthz"
	seenPath   = "/seen"
)

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
	Proxied string              `json:"proxied,omitempty"`
	Headers map[string][]string `json:"headers"`
	Body    int                 `json:"body"`
	Attempt int                 `json:"attempt,omitempty"`
	// ServerName is what the client asked for where this server ended its TLS,
	// Client the common name of the certificate that it showed.
	ServerName string `json:"serverName,omitempty"`
	Client     string `json:"client,omitempty"`
}

type handler struct {
	host, version string

	mu   sync.Mutex
	seen map[string]int
}

func newHandler(host, version string) *handler {
	return &handler{host: host, version: version, seen: map[string]int{}}
}

// tell describes a request, but for its body.
func (h *handler) tell(r *http.Request) answer {
	a := answer{
		Host: h.host, Version: h.version, Proto: r.Proto, Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery,
		Asked: r.Host, Remote: r.RemoteAddr, Proxied: proxiedBy(r.Context()), Headers: r.Header,
	}
	if r.TLS != nil {
		a.ServerName = r.TLS.ServerName
		if len(r.TLS.PeerCertificates) > 0 {
			a.Client = r.TLS.PeerCertificates[0].Subject.CommonName
		}
	}
	return a
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case readyPath:
		w.WriteHeader(http.StatusOK)
		return
	case seenPath:
		h.tellSeen(w, r.URL.Query().Get("key"))
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
	if err := h.pause(r); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	told := h.tell(r)
	told.Body, told.Attempt = int(body), attempt
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// A client that went away is no concern of the server.
	_ = json.NewEncoder(w).Encode(told)
}

// meant tells whether a request's fate is that of this server: with the query
// parameter at, only that of the host which it names.
func (h *handler) meant(r *http.Request) bool {
	at := r.URL.Query().Get("at")
	return at == "" || at == h.host
}

// count notes a request of a key and says the how manieth it is.
func (h *handler) count(key string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.seen[key]; !ok && len(h.seen) >= maxKeys {
		clear(h.seen)
	}
	h.seen[key]++
	return h.seen[key]
}

// tellSeen says how many requests this server got with a key.
func (h *handler) tellSeen(w http.ResponseWriter, key string) {
	h.mu.Lock()
	n := h.seen[key]
	h.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"host": h.host, "version": h.version, "seen": n})
}

// fate decides the status: what the query asks for, or 503 for the first N
// requests of a key (headers x-fail-first and x-key), 200 otherwise.
func (h *handler) fate(r *http.Request) (status, attempt int, err error) {
	status = http.StatusOK
	if s := r.URL.Query().Get("status"); s != "" && h.meant(r) {
		if status, err = strconv.Atoi(s); err != nil || status < 200 || status > 599 {
			return 0, 0, fmt.Errorf("query parameter status: %q is no status between 200 and 599", s)
		}
	}
	first, key := r.Header.Get(failHeader), r.Header.Get(keyHeader)
	if first == "" {
		if key != "" {
			h.count(key)
		}
		return status, 0, nil
	}
	n, err := strconv.Atoi(first)
	if err != nil || n < 0 {
		return 0, 0, fmt.Errorf("header %s: %q is no count", failHeader, first)
	}
	if attempt = h.count(key); attempt <= n {
		status = http.StatusServiceUnavailable
	}
	return status, attempt, nil
}

func (h *handler) pause(r *http.Request) error {
	s := r.URL.Query().Get("delay")
	if s == "" || !h.meant(r) {
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
