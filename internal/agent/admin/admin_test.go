// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func client(t *testing.T, handler http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return NewClient(strings.TrimPrefix(server.URL, "http://"))
}

func TestLive(t *testing.T) {
	state, code := "LIVE\n", http.StatusOK
	c := client(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, state)
	})
	if err := c.Live(t.Context()); err != nil {
		t.Error(err)
	}
	state, code = "PRE_INITIALIZING\n", http.StatusServiceUnavailable
	if err := c.Live(t.Context()); err == nil || err.Error() != "envoy is PRE_INITIALIZING" {
		t.Errorf("got %v", err)
	}
	if err := NewClient("127.0.0.1:1").Live(t.Context()); err == nil {
		t.Error("an Envoy that is not there is live")
	}
}

func TestValues(t *testing.T) {
	var filter string
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		filter = r.URL.Query().Get("filter")
		_, _ = io.WriteString(w, "a.b: 3\nx: y.z: 4\nhist: P0(nan,1) P25(nan,1)\nnegative: -1\n\n")
	})
	got, err := c.Values(t.Context(), `^a\.(b|c)+$`)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]uint64{"a.b": 3, "x: y.z": 4}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if filter != `^a\.(b|c)+$` {
		t.Errorf("filter arrived as %q", filter)
	}
}

func TestAnswersAreBounded(t *testing.T) {
	c := client(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(make([]byte, maxBytes+10))
	})
	if _, err := c.Values(t.Context(), "."); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("got %v", err)
	}
}

func TestDrainListeners(t *testing.T) {
	var asked []string
	code := http.StatusOK
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.String())
		w.WriteHeader(code)
	})
	for _, inbound := range []bool{true, false} {
		if err := c.DrainListeners(t.Context(), inbound); err != nil {
			t.Error(err)
		}
	}
	want := []string{"POST /drain_listeners?graceful&skip_exit&inboundonly", "POST /drain_listeners?graceful&skip_exit"}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	code = http.StatusBadRequest
	if err := c.DrainListeners(t.Context(), true); err == nil {
		t.Error("a refused drain is no error")
	}
}

func TestActivity(t *testing.T) {
	got := activity(map[string]uint64{
		"listener.0.0.0.0_15006.downstream_cx_active":          5,
		"listener.0.0.0.0_15006.worker_0.downstream_cx_active": 5,
		"listener.admin.downstream_cx_active":                  1,
		"http.inbound_0.0.0.0_8080.downstream_cx_active":       3,
		"http.inbound_0.0.0.0_8080.downstream_rq_active":       2,
		"http.admin.downstream_cx_active":                      1,
		"http.admin.downstream_rq_active":                      1,
	})
	if want := (Activity{Connections: 5, Requests: 2, Streams: 2}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got.IsIdle() || !(Activity{Connections: 4}).IsIdle() {
		t.Error("idle is nothing in flight, whatever connections are open")
	}
	if got := activity(map[string]uint64{"http.a.downstream_cx_active": 1}); got.Streams != 0 {
		t.Errorf("streams %d", got.Streams)
	}
}

func TestMetricsRefusesErrors(t *testing.T) {
	c := client(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	if _, err := c.Metrics(t.Context()); err == nil {
		t.Error("a page with status 404 was accepted")
	}
}
