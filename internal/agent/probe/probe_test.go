// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

func TestSetRoundTrip(t *testing.T) {
	set := Set{
		Key("app", Live):  {HTTPGet: &HTTPGet{Path: "/live?x=1", Port: 8080, Scheme: "HTTPS", Headers: []Header{{"Host", "a"}}}, TimeoutSeconds: 3},
		Key("app", Ready): {TCPSocket: &TCPSocket{Port: 1}},
		Key("b", Startup): {GRPC: &GRPC{Port: 9, Service: "s"}},
	}
	text, err := set.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(set, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if Path("app", Live) != "/app-health/app/livez" {
		t.Error(Path("app", Live))
	}
	if empty, err := Parse(""); err != nil || len(empty) != 0 {
		t.Errorf("%v %v", empty, err)
	}
}

func TestParseNamesWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		`{`:                "JSON",
		`{"app/livez":{}}`: `"app/livez": has 0 handlers`,
		`{"app/livez":{"tcpSocket":{"port":1},"grpc":{"port":1}}}`: "has 2 handlers",
		`{"app/livez":{"tcpSocket":{"port":0}}}`:                   "port 0",
		`{"app/livez":{"grpc":{"port":70000}}}`:                    "port 70000",
		`{"app/other":{"tcpSocket":{"port":1}}}`:                   "key must be",
		`{"app":{"tcpSocket":{"port":1}}}`:                         "key must be",
		`{"app/livez":{"httpGet":{"port":1,"scheme":"FTP"}}}`:      "FTP",
		`{"app/livez":{"httpGet":{"port":1,"path":"%zz"}}}`:        "path",
		strings.Repeat(" ", maxEnvBytes+1):                         "more than",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: got %v, want an error with %q", text, err, want)
		}
	}
}

func port(t *testing.T, address string) int32 {
	t.Helper()
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return int32(number)
}

// application answers by path and records the last request.
func application(t *testing.T) (mux http.Handler, last *http.Request) {
	t.Helper()
	last = &http.Request{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*last = *r
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/ok", http.StatusFound)
		case "/moved-to-bad":
			http.Redirect(w, r, "/bad", http.StatusFound)
		case "/moved-away":
			http.Redirect(w, r, "http://elsewhere.invalid/", http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/bad":
			w.WriteHeader(http.StatusInternalServerError)
		case "/slow":
			select {
			case <-r.Context().Done():
			case <-time.After(5 * time.Second):
			}
		}
	}), last
}

func TestHTTP(t *testing.T) {
	handler, last := application(t)
	plain := httptest.NewServer(handler)
	defer plain.Close()
	secure := httptest.NewTLSServer(handler)
	defer secure.Close()
	checker := NewChecker("127.0.0.1", net.ParseIP("127.0.0.6"))
	tests := []struct {
		name  string
		probe HTTPGet
		bad   string
	}{
		{name: "success", probe: HTTPGet{Path: "/ok"}},
		{name: "no path", probe: HTTPGet{}},
		{name: "no slash and a query", probe: HTTPGet{Path: "ok?deep=1"}},
		{name: "failure", probe: HTTPGet{Path: "/bad"}, bad: "500"},
		{name: "redirect is followed", probe: HTTPGet{Path: "/moved"}},
		{name: "redirect to a failure", probe: HTTPGet{Path: "/moved-to-bad"}, bad: "500"},
		{name: "redirect to another host counts as success", probe: HTTPGet{Path: "/moved-away"}},
		{name: "redirects without end", probe: HTTPGet{Path: "/loop"}, bad: "10 redirects"},
		{name: "timeout", probe: HTTPGet{Path: "/slow"}, bad: "deadline"},
		{name: "TLS is not verified", probe: HTTPGet{Path: "/ok", Scheme: "https", Port: port(t, secure.Listener.Addr().String())}},
		{name: "nobody listens", probe: HTTPGet{Path: "/ok", Port: 1}, bad: "refused"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.probe.Port == 0 {
				tt.probe.Port = port(t, plain.Listener.Addr().String())
			}
			err := checker.Check(t.Context(), Probe{HTTPGet: &tt.probe, TimeoutSeconds: 1})
			if (err != nil) != (tt.bad != "") || err != nil && !strings.Contains(err.Error(), tt.bad) {
				t.Errorf("got %v, want %q", err, tt.bad)
			}
		})
	}
	err := checker.Check(t.Context(), Probe{HTTPGet: &HTTPGet{Path: "/ok", Port: port(t, plain.Listener.Addr().String()), Headers: []Header{
		{"host", "shop.example"}, {"X-A", "1"}, {"X-A", "2"}, {"User-Agent", "mine"},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if last.Host != "shop.example" || cmp.Diff([]string{"1", "2"}, last.Header["X-A"]) != "" || last.UserAgent() != "mine" {
		t.Errorf("host %q, headers %v", last.Host, last.Header)
	}
	if !strings.HasPrefix(last.RemoteAddr, "127.0.0.6:") {
		t.Errorf("the probe came from %s, which the capture rules do not let through", last.RemoteAddr)
	}
}

func TestTCPAndGRPC(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	states := health.NewServer()
	states.SetServingStatus("up", healthpb.HealthCheckResponse_SERVING)
	states.SetServingStatus("down", healthpb.HealthCheckResponse_NOT_SERVING)
	server := grpc.NewServer()
	healthpb.RegisterHealthServer(server, states)
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()
	without, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	bare := grpc.NewServer()
	go func() { _ = bare.Serve(without) }()
	defer bare.Stop()

	good := port(t, listener.Addr().String())
	checker := NewChecker("127.0.0.1", nil)
	for name, tt := range map[string]struct {
		probe Probe
		bad   string
	}{
		"tcp":                 {Probe{TCPSocket: &TCPSocket{Port: good}}, ""},
		"tcp refused":         {Probe{TCPSocket: &TCPSocket{Port: 1}}, "refused"},
		"grpc whole server":   {Probe{GRPC: &GRPC{Port: good}}, ""},
		"grpc service":        {Probe{GRPC: &GRPC{Port: good, Service: "up"}}, ""},
		"grpc service down":   {Probe{GRPC: &GRPC{Port: good, Service: "down"}}, "NOT_SERVING"},
		"grpc unknown":        {Probe{GRPC: &GRPC{Port: good, Service: "what"}}, "unknown"},
		"grpc not there":      {Probe{GRPC: &GRPC{Port: 1}}, "grpc probe"},
		"grpc without health": {Probe{GRPC: &GRPC{Port: port(t, without.Addr().String())}}, "does not implement"},
		"nothing":             {Probe{}, "no handler"},
	} {
		if err := checker.Check(t.Context(), tt.probe); (err != nil) != (tt.bad != "") || err != nil && !strings.Contains(err.Error(), tt.bad) {
			t.Errorf("%s: got %v, want %q", name, err, tt.bad)
		}
	}
}

func TestHandler(t *testing.T) {
	app, _ := application(t)
	server := httptest.NewServer(app)
	defer server.Close()
	number := port(t, server.Listener.Addr().String())
	handler := NewHandler(Set{
		"app/livez":  {HTTPGet: &HTTPGet{Path: "/ok", Port: number}},
		"app/readyz": {HTTPGet: &HTTPGet{Path: "/bad", Port: number}},
	}, NewChecker("127.0.0.1", nil))
	for _, tt := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/app-health/app/livez", 200},
		{"GET", "/app-health/app/readyz", 503},
		{"GET", "/app-health/app/startupz", 404},
		{"GET", "/app-health/", 404},
		{"POST", "/app-health/app/livez", 405},
	} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(tt.method, tt.path, nil))
		if w.Code != tt.want {
			t.Errorf("%s %s: %d, want %d", tt.method, tt.path, w.Code, tt.want)
		}
	}
}

// TestLoopbackOfTheOtherFamily: a probe of 127.0.0.1 in a pod of IPv6 does not come from an address of IPv6.
func TestLoopbackOfTheOtherFamily(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := int32(l.Addr().(*net.TCPAddr).Port)
	c := NewChecker("fd00::1", net.ParseIP("::6"))
	if err := c.Check(t.Context(), Probe{TCPSocket: &TCPSocket{Host: "127.0.0.1", Port: port}}); err != nil {
		t.Error(err)
	}
}
