// SPDX-License-Identifier: Apache-2.0

// Package admin talks to the admin interface of the Envoy beside the agent
// (https://www.envoyproxy.io/docs/envoy/latest/operations/admin).
package admin

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// timeout bounds each call but Metrics, whose caller knows how long it may take.
	timeout = 5 * time.Second
	// maxBytes bounds the answers that are read whole.
	maxBytes = 8 << 20
)

// Client reaches one Envoy.
type Client struct {
	base   string
	client *http.Client
}

// NewClient makes a client for the admin interface at HOST:PORT.
func NewClient(address string) *Client {
	return &Client{base: "http://" + address, client: &http.Client{Transport: &http.Transport{
		Proxy: nil, MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute,
	}}}
}

// Live reports whether Envoy is live, that is initialised and not draining; otherwise the error says its state.
func (c *Client) Live(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	body, status, err := c.text(ctx, http.MethodGet, "/ready")
	if err != nil {
		return err
	}
	if state := strings.TrimSpace(body); status != http.StatusOK {
		return fmt.Errorf("envoy is %s", state)
	}
	return nil
}

// Values returns the counters and gauges whose whole name matches the expression (RE2). Names that Envoy does not know yet
// are absent; histograms are left out.
func (c *Client) Values(ctx context.Context, expression string) (map[string]uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	body, status, err := c.text(ctx, http.MethodGet, "/stats?filter="+url.QueryEscape(expression))
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("read metrics of envoy: status %d", status)
	}
	values := map[string]uint64{}
	lines := bufio.NewScanner(strings.NewReader(body))
	for lines.Scan() {
		name, text, ok := cutLast(lines.Text(), ": ")
		if !ok {
			continue
		}
		if value, err := strconv.ParseUint(text, 10, 64); err == nil {
			values[name] = value
		}
	}
	return values, nil
}

// cutLast cuts at the last separator: names of metrics may contain it, values do not.
func cutLast(s, separator string) (before, after string, found bool) {
	i := strings.LastIndex(s, separator)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(separator):], true
}

// DrainListeners makes Envoy ask its clients to leave (Connection: close, GOAWAY) while it goes on to accept and serve.
// With inboundOnly the listeners of the application's own calls are left alone.
func (c *Client) DrainListeners(ctx context.Context, inboundOnly bool) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	path := "/drain_listeners?graceful&skip_exit"
	if inboundOnly {
		path += "&inboundonly"
	}
	body, status, err := c.text(ctx, http.MethodPost, path)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("drain listeners: envoy answered %d %s", status, strings.TrimSpace(body))
	}
	return nil
}

// Metrics opens Envoy's Prometheus page, which the caller closes.
func (c *Client) Metrics(ctx context.Context) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/stats/prometheus", nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("read metrics of envoy: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("read metrics of envoy: status %d", resp.StatusCode)
	}
	return resp.Body, nil
}

func (c *Client) text(ctx context.Context, method, path string) (string, int, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, nil)
	if err != nil {
		return "", 0, err
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return "", 0, fmt.Errorf("ask envoy: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBytes+1))
	if err != nil {
		return "", 0, fmt.Errorf("ask envoy: %w", err)
	}
	if len(body) > maxBytes {
		return "", 0, fmt.Errorf("ask envoy: answer to %s is larger than %d bytes", path, maxBytes)
	}
	return string(body), resp.StatusCode, nil
}
