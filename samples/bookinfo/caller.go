// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const maxAnswer = 1 << 20

// propagated names the headers of an incoming request that go on with the
// calls made for it: the trace context in the formats in use
// (https://www.w3.org/TR/trace-context/, https://github.com/openzipkin/b3-propagation),
// and who is asking.
var propagated = []string{
	"X-Request-Id", "Traceparent", "Tracestate", "B3",
	"X-B3-Traceid", "X-B3-Spanid", "X-B3-Parentspanid", "X-B3-Sampled", "X-B3-Flags",
	"X-Ot-Span-Context", "X-Cloud-Trace-Context", "Grpc-Trace-Bin",
	endUser, "User-Agent", "Authorization",
}

// endUser carries the name of who is logged in; routes may match on it.
const endUser = "End-User"

// caller sends requests to other services on behalf of an incoming one.
type caller struct{ client *http.Client }

func newCaller() *caller {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 32
	return &caller{client: &http.Client{Transport: transport}}
}

// get fetches url with the propagated headers of r and decodes a 200 into out.
func (c *caller) get(r *http.Request, url string, limit time.Duration, out any) (int, error) {
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, fmt.Errorf("make the request: %w", err)
	}
	for _, name := range propagated {
		if v := r.Header.Values(name); len(v) > 0 {
			req.Header[http.CanonicalHeaderKey(name)] = v
		}
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return 0, fmt.Errorf("call %s: %w", url, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return 0, fmt.Errorf("read the answer of %s: %w", url, err)
	}
	if resp.StatusCode != http.StatusOK {
		text := strings.TrimSpace(string(body[:min(len(body), 200)]))
		return resp.StatusCode, fmt.Errorf("%s answered %d: %s", url, resp.StatusCode, text)
	}
	if err := json.Unmarshal(body, out); err != nil {
		return resp.StatusCode, fmt.Errorf("decode the answer of %s: %w", url, err)
	}
	return resp.StatusCode, nil
}
