// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/meshwright/meshwright/internal/agent/node"
	"github.com/meshwright/meshwright/internal/agent/probe"
)

func valid() Config {
	return Config{
		Pod: node.Pod{
			Role: node.Sidecar, Name: "a-1", Namespace: "b", IPs: []netip.Addr{netip.MustParseAddr("127.0.0.1")},
			ServiceAccount: "c", ClusterID: "Kubernetes", ClusterDomain: "cluster.local",
		},
		DiscoveryAddress: "localhost:1", TrustDomain: "cluster.local", DrainLimit: 45 * time.Second, DrainMinimum: 5 * time.Second,
		Concurrency: 2, LogLevel: "warning", CertificateTTL: time.Hour, AdminAddress: "127.0.0.1:1",
		PrestopToken: "0123456789abcdef",
		Probes:       probe.Set{"app/livez": {TCPSocket: &probe.TCPSocket{Port: 1}}},
	}
}

func TestValidate(t *testing.T) {
	if err := valid().Validate(); err != nil {
		t.Errorf("a good configuration: %v", err)
	}
	short := valid()
	short.DrainLimit = time.Second // What is left of a pod's short grace period.
	if err := short.Validate(); err != nil {
		t.Errorf("a short drain: %v", err)
	}
	for want, spoil := range map[string]func(*Config){
		"POD_NAME":          func(c *Config) { c.Pod.Name = "" },
		"--log-level":       func(c *Config) { c.LogLevel = "loud" },
		"--concurrency":     func(c *Config) { c.Concurrency = 0 },
		"--trust-domain":    func(c *Config) { c.TrustDomain = "" },
		"--drain-duration":  func(c *Config) { c.DrainLimit = 0 },
		"--certificate-ttl": func(c *Config) { c.CertificateTTL = 0 },
		"PRESTOP_TOKEN":     func(c *Config) { c.PrestopToken = "../../healthz/ready" },
	} {
		c := valid()
		spoil(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %s", err, want)
		}
	}
}

func TestConnectionLimit(t *testing.T) {
	c := valid()
	if got, err := c.connectionLimit(); err != nil || got < 1 || got > 1<<20 {
		t.Errorf("default %d, %v", got, err)
	}
	c.MaxConnections = 77
	if got, err := c.connectionLimit(); err != nil || got != 77 {
		t.Errorf("%d, %v", got, err)
	}
}

func TestArguments(t *testing.T) {
	a := newAgent(valid(), logr.Discard())
	args := strings.Join(a.arguments(), " ")
	for _, want := range []string{"--concurrency 2", "--log-level warning", "--drain-time-s 45", "--drain-strategy immediate"} {
		if !strings.Contains(args, want) {
			t.Errorf("%q lacks %q", args, want)
		}
	}
	if i := slices.Index(a.arguments(), "-c"); i < 0 || !strings.HasSuffix(a.arguments()[i+1], "bootstrap.json") {
		t.Errorf("no bootstrap in %q", args)
	}
}

func TestStatusPaths(t *testing.T) {
	a := newAgent(valid(), logr.Discard())
	handler := a.statusHandler()
	for _, tt := range []struct {
		method, path, from string
		want               int
	}{
		{"GET", "/healthz/ready", "10.0.0.9:1", 503},
		{"GET", "/stats/prometheus", "10.0.0.9:1", 200},
		{"GET", "/app-health/app/livez", "10.0.0.9:1", 503},
		{"GET", "/app-health/app/readyz", "10.0.0.9:1", 404},
		{"GET", "/prestop/0123456789abcdef", "10.0.0.9:1", 200},
		{"GET", "/prestop/0123456789abcdeF", "10.0.0.9:1", 404},
		{"GET", "/prestop/", "10.0.0.9:1", 404},
		{"GET", "/quitquitquit", "127.0.0.1:1", 405},
		{"POST", "/quitquitquit", "10.0.0.9:1", 403},
		{"POST", "/quitquitquit", "nonsense", 403},
	} {
		r := httptest.NewRequest(tt.method, tt.path, nil)
		r.RemoteAddr = tt.from
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != tt.want {
			t.Errorf("%s %s from %s: %d, want %d", tt.method, tt.path, tt.from, w.Code, tt.want)
		}
	}
	select {
	case <-a.quit:
		t.Error("a refused request made the agent quit")
	default:
	}
	for _, from := range []string{"127.0.0.1:1", "[::1]:1"} { // The second time must not panic.
		r := httptest.NewRequest("POST", "/quitquitquit", nil)
		r.RemoteAddr = from
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != 200 {
			t.Errorf("quit from %s: %d", from, w.Code)
		}
	}
	<-a.quit
}
