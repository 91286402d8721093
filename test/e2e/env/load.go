// SPDX-License-Identifier: Apache-2.0

package env

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// maxAnswer bounds what is read of one answer.
const maxAnswer = 1 << 20

// Request says what Load and Send send from this machine.
type Request struct {
	// URL names the host that is asked for; Address, when set, is where the
	// connection goes instead, as IP:PORT.
	URL, Address string
	// Method is GET when empty.
	Method string
	Header http.Header
	// Timeout limits one request; zero means 10 s.
	Timeout time.Duration
	// Count ends the load; zero means when the context ends.
	Count int
	// RPS is the pace of starts; zero means as fast as answers come.
	RPS float64
	// Concurrency limits the requests in flight; zero means 1.
	Concurrency int
	// TLS is the client's TLS configuration for https.
	TLS *tls.Config
}

// Result is one request's outcome.
type Result struct {
	Start time.Time
	Took  time.Duration
	Code  int
	Body  []byte
	Err   error
	// Header is the answer's, TLS the connection's.
	Header http.Header
	TLS    *tls.ConnectionState
}

// client makes an HTTP/1.1 client that connects to r.Address.
func (r Request) client() *http.Client {
	transport := &http.Transport{TLSClientConfig: r.TLS, MaxIdleConnsPerHost: max(r.Concurrency, 1)}
	if r.Address != "" {
		transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, r.Address)
		}
	}
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (r Request) once(ctx context.Context, client *http.Client) Result {
	limit := r.Timeout
	if limit == 0 {
		limit = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	res := Result{Start: time.Now()}
	res.Code, res.Body, res.Err = func() (int, []byte, error) {
		req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, nil)
		if err != nil {
			return 0, nil, err
		}
		for k, v := range r.Header {
			req.Header[k] = v
		}
		resp, err := client.Do(req)
		if err != nil {
			return 0, nil, err
		}
		defer resp.Body.Close()
		res.Header, res.TLS = resp.Header, resp.TLS
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		return resp.StatusCode, body, err
	}()
	res.Took = time.Since(res.Start)
	return res
}

// Send sends one request.
func Send(ctx context.Context, r Request) Result {
	client := r.client()
	defer client.CloseIdleConnections()
	return r.once(ctx, client)
}

// Load sends requests until the count is reached or the context ends, and
// returns every outcome in the order of their starts. A request in flight at
// the end of the context is allowed to finish.
func Load(ctx context.Context, r Request) []Result {
	client := r.client()
	defer client.CloseIdleConnections()
	tickets := make(chan struct{})
	go func() {
		defer close(tickets)
		var tick <-chan time.Time
		if r.RPS > 0 {
			ticker := time.NewTicker(time.Duration(float64(time.Second) / r.RPS))
			defer ticker.Stop()
			tick = ticker.C
		}
		for n := 0; r.Count == 0 || n < r.Count; n++ {
			if tick != nil {
				select {
				case <-tick:
				case <-ctx.Done():
					return
				}
			}
			select {
			case tickets <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
	}()
	var mu sync.Mutex
	var results []Result
	var workers sync.WaitGroup
	for range max(r.Concurrency, 1) {
		workers.Go(func() {
			for range tickets {
				res := r.once(context.WithoutCancel(ctx), client)
				mu.Lock()
				results = append(results, res)
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	slices.SortFunc(results, func(a, b Result) int { return a.Start.Compare(b.Start) })
	return results
}

// Summary sums results up in the shape of the echo client's report. versionOf
// reads which version answered from a body; nil means the field `version`.
func Summary(results []Result, versionOf func([]byte) string) Report {
	if versionOf == nil {
		versionOf = VersionField
	}
	r := Report{Requests: len(results), Codes: map[string]int{}, Errors: map[string]int{}, Versions: map[string]int{}}
	var took []time.Duration
	for _, res := range results {
		millis := float64(res.Took.Microseconds()) / 1000
		if res.Err != nil {
			r.Errors[res.Err.Error()]++
			r.Failures = append(r.Failures, Failure{At: res.Start, Error: res.Err.Error(), Millis: millis})
			continue
		}
		took = append(took, res.Took)
		r.Codes[fmt.Sprint(res.Code)]++
		if res.Code >= http.StatusInternalServerError {
			r.Failures = append(r.Failures, Failure{At: res.Start, Code: res.Code, Text: string(res.Body[:min(len(res.Body), 200)]), Millis: millis})
		}
		if v := versionOf(res.Body); v != "" {
			r.Versions[v]++
		}
	}
	if len(took) > 0 {
		slices.Sort(took)
		at := func(q float64) float64 {
			return float64(took[min(len(took)-1, int(q*float64(len(took))))].Microseconds()) / 1000
		}
		r.Latency = Latency{P50: at(0.5), P99: at(0.99), Max: at(1)}
	}
	return r
}

// VersionField reads the field `version` of a JSON body.
func VersionField(body []byte) string {
	var told struct {
		Version string `json:"version"`
	}
	if json.Unmarshal(body, &told) != nil {
		return ""
	}
	return told.Version
}

// Share is the part of the answered requests, in percent, that a version got.
func (r Report) Share(version string) float64 {
	total := 0
	for _, n := range r.Versions {
		total += n
	}
	if total == 0 {
		return 0
	}
	return 100 * float64(r.Versions[version]) / float64(total)
}
