// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshwright/meshwright/test/e2e/env"
)

func jsonUnmarshal(text []byte, out any) error {
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("decode %q: %w", text, err)
	}
	return nil
}

// header is the first value of a header as the server got it.
func header(e env.Echo, name string) string {
	if values := e.Headers[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

func testDelay(t *testing.T) {
	given(t, service("delay", "app: echo"), object("VirtualService", "delay", `
  hosts: [delay]
  http:
    - match: [{headers: {end-user: {exact: jason}}}]
      fault: {delay: {fixedDelay: 7s, percentage: {value: 100}}}
      route: [{destination: {host: delay}}]
    - route: [{destination: {host: delay}}]`))
	r := asked(t, "http://delay:8080", "--header=end-user:jason", "--count=3", "--concurrency=3", "--timeout=20s")
	must(t, answered(r))
	if r.Latency.P50 < 7000 {
		t.Errorf("for jason: %s, want 7 s", r)
	}
	r = asked(t, "http://delay:8080", "--header=end-user:jasmin", "--count=10")
	must(t, answered(r))
	if r.Latency.Max >= 7000 {
		t.Errorf("for another user: %s, want no delay", r)
	}
}

// Of 2,000 requests, 50 % abort within 5 points: a fair coin is off by more once
// in 100,000 runs.
func testAbort(t *testing.T) {
	given(t, service("abort", "app: echo", "http:8080", "grpc:8082:8080"), object("VirtualService", "abort", `
  hosts: [abort]
  http:
    - match: [{port: 8082}]
      fault: {abort: {grpcStatus: UNAVAILABLE, percentage: {value: 100}}}
      route: [{destination: {host: abort, port: {number: 8082}}}]
    - fault: {abort: {httpStatus: 500, percentage: {value: 50}}}
      route: [{destination: {host: abort, port: {number: 8080}}}]`))
	r := asked(t, "http://abort:8080", "--count=2000", "--concurrency=8")
	if r.Codes["200"]+r.Codes["500"] != r.Requests || math.Abs(float64(r.Codes["500"])/20-50) > 5 {
		t.Errorf("%s, want half of them 500", r)
	}
	t.Logf("%d of %d aborted", r.Codes["500"], r.Requests)
	// 1000 and more is the client's way to tell a status of gRPC.
	if r := asked(t, "grpc://abort:8082", "--count=5"); r.Codes["1014"] != 5 {
		t.Errorf("by gRPC: %s, want UNAVAILABLE", r)
	}
}

// Every copy arrives, marked as one, and the client does not wait for a shadow
// that takes 5 s to answer.
func testMirror(t *testing.T) {
	given(t, service("mirror", "app: echo, version: v1"), service("mirror-shadow", "app: echo, version: v2"), object("VirtualService", "mirror", `
  hosts: [mirror]
  http:
    - route: [{destination: {host: mirror}}]
      mirrors: [{destination: {host: mirror-shadow}, percentage: {value: 100}}]`))
	key := fmt.Sprintf("mirror-%d", time.Now().UnixNano())
	shadow := echoed(t, "http://mirror-shadow:8080").Host
	r := asked(t, "http://mirror:8080/?delay=5s&at="+shadow, "--count=100", "--concurrency=4", "--header=x-key:"+key)
	must(t, only("v1")(r))
	if r.Latency.Max >= 5000 {
		t.Errorf("the client waits for the shadow: %s", r)
	}
	must(t, env.Eventually(t.Context(), changeLimit, "copies of all requests", func(context.Context) error {
		if n := seenBy(t, "mirror-shadow", key); n != 100 {
			return fmt.Errorf("the shadow got %d of 100", n)
		}
		return nil
	}))
}

func testCrossOrigin(t *testing.T) {
	given(t, service("cors", "app: echo"), object("VirtualService", "cors", `
  hosts: [cors]
  http:
    - corsPolicy:
        allowOrigins: [{regex: "https://[a-z]+[.]shop[.]example"}]
        allowMethods: [GET, PUT]
        allowHeaders: [x-token]
        exposeHeaders: [x-told]
        maxAge: 600s
        allowCredentials: true
        unmatchedPreflights: IGNORE
      route: [{destination: {host: cors}}]`))
	preflight := func(origin string) env.Report {
		return asked(t, "http://cors:8080", "--method=OPTIONS", "--header=origin:"+origin, "--header=access-control-request-method:PUT")
	}
	const good, bad = "https://a.shop.example", "https://a.shop.example.evil.example"
	r := preflight(good)
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin": good, "Access-Control-Allow-Methods": "GET,PUT", "Access-Control-Allow-Headers": "x-token",
		"Access-Control-Max-Age": "600", "Access-Control-Allow-Credentials": "true",
	} {
		if got := r.LastHeaders.Get(name); got != want {
			t.Errorf("preflight: %s is %q, want %q", name, got, want)
		}
	}
	if len(r.Last) != 0 {
		t.Errorf("the preflight reached the server: %s", r.Last)
	}
	if r = preflight(bad); r.LastHeaders.Get("Access-Control-Allow-Origin") != "" || len(r.Last) != 0 {
		t.Errorf("preflight of another origin: %v, body %s", r.LastHeaders, r.Last)
	}
	r = asked(t, "http://cors:8080", "--header=origin:"+good)
	must(t, answered(r))
	if r.LastHeaders.Get("Access-Control-Allow-Origin") != good || r.LastHeaders.Get("Access-Control-Expose-Headers") != "x-told" {
		t.Errorf("a request: %v", r.LastHeaders)
	}
	r = asked(t, "http://cors:8080", "--header=origin:"+bad)
	must(t, answered(r))
	if got := r.LastHeaders.Get("Access-Control-Allow-Origin"); got != "" {
		t.Errorf("a request of another origin: allowed for %q", got)
	}
}

func testHeaderChanges(t *testing.T) {
	given(t, service("headers", "app: echo"), object("VirtualService", "headers", `
  hosts: [headers]
  http:
    - headers:
        request: {set: {x-set: ours, host: inner.example}, add: {x-add: ours}, remove: [x-remove]}
        response: {set: {server: echo}, add: {x-more: ours}, remove: [content-type]}
      route: [{destination: {host: headers}}]`))
	r := asked(t, "http://headers:8080", "--header=x-set:theirs", "--header=x-add:theirs", "--header=x-remove:theirs")
	must(t, answered(r))
	e, err := r.Echo()
	must(t, err)
	for name, want := range map[string][]string{"X-Set": {"ours"}, "X-Add": {"theirs", "ours"}, "X-Remove": nil} {
		if got := e.Headers[name]; !slices.Equal(got, want) && !slices.Equal(got, []string{strings.Join(want, ",")}) {
			t.Errorf("the server got %s %q, want %q", name, got, want)
		}
	}
	if e.Asked != "inner.example" {
		t.Errorf("the server was asked for %q, want inner.example", e.Asked)
	}
	if h := r.LastHeaders; h.Get("Server") != "echo" || h.Get("X-More") != "ours" || h.Get("Content-Type") != "" {
		t.Errorf("the client got %v", h)
	}
}
