// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meshwright/meshwright/test/port"
)

func start(t *testing.T, version string) string {
	t.Helper()
	srv := httptest.NewServer(newHandler("pod-1", version))
	t.Cleanup(srv.Close)
	return srv.URL
}

func client(t *testing.T, url string, o clientOptions) Report {
	t.Helper()
	if o.concurrency == 0 {
		o.concurrency = 1
	}
	if o.count == 0 && o.duration == 0 {
		o.count = 1
	}
	if o.timeout == 0 {
		o.timeout = 5 * time.Second
	}
	if o.method == "" {
		o.method = http.MethodGet
	}
	report, err := runClient(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestAnswerTellsTheRequest(t *testing.T) {
	url := start(t, "v2")
	r := client(t, url+"/a/b?x=1", clientOptions{method: "POST", host: "shop.example", headers: []string{"X-Forwarded-Client-Cert: URI=spiffe://a"}})
	var got answer
	if err := json.Unmarshal(r.Last, &got); err != nil {
		t.Fatal(err)
	}
	if got.Method != "POST" || got.Path != "/a/b" || got.Query != "x=1" || got.Asked != "shop.example" || got.Version != "v2" || got.Host != "pod-1" {
		t.Errorf("answer = %+v", got)
	}
	if h := got.Headers["X-Forwarded-Client-Cert"]; len(h) != 1 || h[0] != "URI=spiffe://a" {
		t.Errorf("x-forwarded-client-cert = %v", h)
	}
}

func TestReportCounts(t *testing.T) {
	url := start(t, "v1")
	r := client(t, url, clientOptions{count: 40, concurrency: 4})
	if r.Requests != 40 || r.Codes["200"] != 40 || r.Versions["v1"] != 40 || r.Hosts["pod-1"] != 40 || len(r.Errors) != 0 {
		t.Errorf("report = %+v", r)
	}
	if r.Latency.Max < r.Latency.P50 || r.Latency.Max == 0 {
		t.Errorf("latency = %+v", r.Latency)
	}
	if r = client(t, url+"?status=418", clientOptions{}); r.Codes["418"] != 1 {
		t.Errorf("codes = %v", r.Codes)
	}
}

func TestFailFirstCountsPerKey(t *testing.T) {
	url := start(t, "")
	for _, key := range []string{"a", "b"} {
		r := client(t, url, clientOptions{count: 5, headers: []string{"x-fail-first: 2", "x-key: " + key}})
		if r.Codes["503"] != 2 || r.Codes["200"] != 3 {
			t.Errorf("key %s: codes = %v, want two 503 and three 200", key, r.Codes)
		}
		if len(r.Failures) != 2 || r.Failures[0].Code != 503 {
			t.Errorf("failures = %+v", r.Failures)
		}
	}
}

func TestBadQueryIsRefused(t *testing.T) {
	url := start(t, "")
	for _, q := range []string{"?status=99", "?status=x", "?delay=2h", "?delay=-1s"} {
		if r := client(t, url+q, clientOptions{}); r.Codes["400"] != 1 {
			t.Errorf("%s: codes = %v, want 400", q, r.Codes)
		}
	}
}

func TestTimeoutIsAResult(t *testing.T) {
	r := client(t, start(t, "")+"?delay=10s", clientOptions{timeout: 50 * time.Millisecond})
	if len(r.Errors) != 1 || len(r.Codes) != 0 {
		t.Errorf("report = %+v, want one error", r)
	}
}

func TestPaceAndDuration(t *testing.T) {
	r := client(t, start(t, ""), clientOptions{duration: 500 * time.Millisecond, rps: 100, concurrency: 4})
	if r.Requests < 20 || r.Requests > 55 {
		t.Errorf("%d requests in 500 ms at 100 rps", r.Requests)
	}
}

func TestClientRefusesWhatItCannotDo(t *testing.T) {
	for url, o := range map[string]clientOptions{
		"ftp://a":  {count: 1, concurrency: 1},
		"http://a": {concurrency: 1},
		"http://b": {count: 1, concurrency: 1, headers: []string{"noname"}},
		"http://c": {count: 1, concurrency: 9999},
	} {
		if _, err := runClient(t.Context(), url, o); err == nil {
			t.Errorf("%s with %+v was accepted", url, o)
		}
	}
}

func TestServerSpeaksH2CAndTCPAndFinishesRequestsOnStop(t *testing.T) {
	second, socket := port.Address(t), filepath.Join(t.TempDir(), "echo.sock")
	o := serverOptions{http: port.Address(t) + "," + second + ",unix:" + socket, tcp: port.Address(t), host: "h"}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- runServer(ctx, o) }()
	deadline := time.Now().Add(5 * time.Second)
	for client(t, "tcp://"+o.tcp, clientOptions{}).Codes["200"] == 0 {
		if time.Now().After(deadline) {
			t.Fatal("the TCP echo did not answer within 5 s")
		}
		time.Sleep(10 * time.Millisecond)
	}
	address, _, _ := strings.Cut(o.http, ",")
	r := client(t, "http://"+address, clientOptions{http2: true})
	if !strings.Contains(string(r.Last), "HTTP/2.0") {
		t.Errorf("answer = %s, want HTTP/2.0", r.Last)
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n")
	if text, _ := io.ReadAll(conn); !strings.Contains(string(text), `"host":"h"`) {
		t.Errorf("answer by the socket = %s", text)
	}
	slow := make(chan Report, 1)
	go func() { slow <- client(t, "http://"+second+"?delay=400ms", clientOptions{}) }()
	time.Sleep(100 * time.Millisecond)
	stop()
	if r := <-slow; r.Codes["200"] != 1 {
		t.Errorf("a request in flight at the stop: %+v", r)
	}
	if err := <-ended; err != nil {
		t.Errorf("server ended with %v", err)
	}
	if r := client(t, "http://"+address, clientOptions{}); len(r.Errors) != 1 {
		t.Errorf("after the stop: %+v, want a refused connection", r)
	}
}

func TestFailFlagTurnsBadAnswersIntoAnError(t *testing.T) {
	url := start(t, "")
	for target, wantErr := range map[string]bool{url: false, url + "?status=500": true} {
		cmd := clientCommand()
		cmd.SetOut(io.Discard)
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.SetArgs([]string{target, "--fail"})
		if err := cmd.ExecuteContext(t.Context()); (err != nil) != wantErr {
			t.Errorf("%s: error %v, want one: %v", target, err, wantErr)
		}
	}
}
