// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Report is what `echo client` prints: one JSON document on standard output.
type Report struct {
	Requests int `json:"requests"`
	// Codes counts the answers per HTTP status.
	Codes map[string]int `json:"codes"`
	// Errors counts the requests without an answer per error text.
	Errors map[string]int `json:"errors,omitempty"`
	// Versions and Hosts count the answers per field of the echo server's body.
	Versions map[string]int `json:"versions,omitempty"`
	Hosts    map[string]int `json:"hosts,omitempty"`
	Latency  Latency        `json:"latencyMillis"`
	// Failures holds the first 50 requests without an answer below 500.
	Failures []Failure       `json:"failures,omitempty"`
	Last     json.RawMessage `json:"last,omitempty"`
	LastText string          `json:"lastText,omitempty"`
	// LastHeaders are those of the last answer.
	LastHeaders http.Header `json:"lastHeaders,omitempty"`
}

// Latency holds percentiles of the time from sending to the end of the body,
// in milliseconds, over the answered requests.
type Latency struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// Failure is one request that got no answer or a status of 500 and above.
type Failure struct {
	At     time.Time `json:"at"`
	Code   int       `json:"code,omitempty"`
	Error  string    `json:"error,omitempty"`
	Text   string    `json:"text,omitempty"`
	Millis float64   `json:"millis"`
}

const (
	maxFailures = 50
	maxText     = 2048
)

// result is one request's outcome.
type result struct {
	response
	start time.Time
	took  time.Duration
	err   error
}

type recorder struct {
	mu     sync.Mutex
	report Report
	took   []time.Duration
}

func newRecorder() *recorder {
	return &recorder{report: Report{
		Codes: map[string]int{}, Errors: map[string]int{}, Versions: map[string]int{}, Hosts: map[string]int{},
	}}
}

func (r *recorder) add(res result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Requests++
	if res.err != nil {
		r.report.Errors[res.err.Error()]++
		r.fail(Failure{At: res.start, Error: res.err.Error(), Millis: millis(res.took)})
		return
	}
	r.took = append(r.took, res.took)
	r.report.Codes[strconv.Itoa(res.code)]++
	if res.code >= 500 {
		r.fail(Failure{At: res.start, Code: res.code, Text: clip(res.body), Millis: millis(res.took)})
	}
	r.report.Last, r.report.LastText, r.report.LastHeaders = nil, "", res.header
	if !json.Valid(res.body) {
		r.report.LastText = clip(res.body)
		return
	}
	r.report.Last = res.body
	var told struct {
		Host, Version string
	}
	if json.Unmarshal(res.body, &told) != nil {
		return // JSON of another shape: the body is reported as it is
	}
	if told.Version != "" {
		r.report.Versions[told.Version]++
	}
	if told.Host != "" {
		r.report.Hosts[told.Host]++
	}
}

func (r *recorder) fail(f Failure) {
	if len(r.report.Failures) < maxFailures {
		r.report.Failures = append(r.report.Failures, f)
	}
}

// done computes the percentiles and returns the report.
func (r *recorder) done() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	slices.Sort(r.took)
	r.report.Latency = Latency{
		P50: percentile(r.took, 0.50), P90: percentile(r.took, 0.90), P99: percentile(r.took, 0.99), Max: percentile(r.took, 1),
	}
	return r.report
}

// percentile is the smallest value that at least the share q of sorted values
// does not exceed (nearest rank), in milliseconds.
func percentile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(q*float64(len(sorted))+0.999999) - 1
	return millis(sorted[min(max(rank, 0), len(sorted)-1)])
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func clip(b []byte) string { return string(b[:min(len(b), maxText)]) }
