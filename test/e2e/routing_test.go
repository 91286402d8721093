// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/meshwright/meshwright/test/e2e/env"
)

const echoURL = "http://echo:8080"

// only wants every answer to come from one version.
func only(version string) func(env.Report) error {
	return func(r env.Report) error {
		if err := answered(r); err != nil {
			return err
		}
		if r.Versions[version] != r.Requests {
			return fmt.Errorf("answered by %v, want %s only", r.Versions, version)
		}
		return nil
	}
}

// 1,000 requests split 90 to 10 land within 3 points. A fair split of that size
// is off by more than that once in 600 runs; a wrong one always.
func testWeights(t *testing.T) {
	application(t)
	applied(t, "subsets.yaml")
	applied(t, "weights.yaml")
	until(t, "a split that is not even", func(r env.Report) error {
		if err := answered(r); err != nil {
			return err
		}
		if r.Versions["v2"] == 0 || r.Share("v1") < 75 {
			return fmt.Errorf("versions %v", r.Versions)
		}
		return nil
	}, call, echoURL, "--count=100")
	r, err := call(t.Context(), echoURL, "--count=1000", "--concurrency=8")
	must(t, err)
	must(t, answered(r))
	if math.Abs(r.Share("v1")-90) > 3 {
		t.Errorf("v1 got %.1f %% of %d requests, want 90 within 3 points", r.Share("v1"), r.Requests)
	}
	t.Logf("v1 %.1f %%, v2 %.1f %%; %s", r.Share("v1"), r.Share("v2"), r)
}

func testHeaderRoute(t *testing.T) {
	application(t)
	applied(t, "subsets.yaml")
	applied(t, "header.yaml")
	until(t, "v2 for jason", only("v2"), call, echoURL, "--count=20", "--header=end-user:jason")
	for header, version := range map[string]string{"end-user:jason": "v2", "end-user:jasmin": "v1", "x-other:jason": "v1"} {
		r, err := call(t.Context(), echoURL, "--count=100", "--header="+header)
		must(t, err)
		if err := only(version)(r); err != nil {
			t.Errorf("with %s: %v", header, err)
		}
	}
}

// Two answers of 503 and then a 200 are one 200 to the client.
func testRetries(t *testing.T) {
	application(t)
	applied(t, "subsets.yaml")
	applied(t, "retries.yaml")
	until(t, "the route to v1", only("v1"), call, echoURL, "--count=20")
	r, err := call(t.Context(), echoURL+"/retried", "--header=x-fail-first:2", "--header=x-key:"+t.Name())
	must(t, err)
	must(t, answered(r))
	e, err := r.Echo()
	must(t, err)
	if e.Attempt != 3 {
		t.Errorf("answered at attempt %d, want 3", e.Attempt)
	}
	r, err = call(t.Context(), echoURL+"/once", "--header=x-fail-first:2", "--header=x-key:once"+t.Name())
	must(t, err)
	if r.Codes["503"] != 1 {
		t.Errorf("without retries: %s, want the 503", r)
	}
}

func testTimeout(t *testing.T) {
	application(t)
	applied(t, "subsets.yaml")
	applied(t, "timeout.yaml")
	_ = until(t, "a timeout of 0.5 s", func(r env.Report) error {
		if r.Codes["504"] != 1 {
			return fmt.Errorf("%s, want 504", r)
		}
		return nil
	}, call, echoURL+"/slow?delay=3s")
	r, err := call(t.Context(), echoURL+"/slow?delay=3s", "--count=5")
	must(t, err)
	if r.Codes["504"] != 5 || r.Latency.P50 < 450 || r.Latency.Max > 1500 {
		t.Errorf("%s (max %.0f ms), want five 504 after half a second", r, r.Latency.Max)
	}
	r, err = call(t.Context(), echoURL+"/other?delay=1s")
	must(t, err)
	if err := answered(r); err != nil {
		t.Errorf("the route without a timeout: %v", err)
	}
}

func testTCP(t *testing.T) {
	application(t)
	r := until(t, "TCP through both proxies", answered, call, "tcp://echo:9090", "--count=20")
	if !strings.HasPrefix(r.LastText, "hello") {
		t.Errorf("got %q back", r.LastText)
	}
}
