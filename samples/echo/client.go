// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
)

// clientOptions say what to send and how fast.
type clientOptions struct {
	count       int
	duration    time.Duration
	rps         float64
	concurrency int
	timeout     time.Duration
	method      string
	host        string
	headers     []string
	keepAlive   bool
	insecure    bool
	http2       bool
	fail        bool
}

const maxConcurrency = 256

func clientCommand() *cobra.Command {
	var o clientOptions
	cmd := &cobra.Command{
		Use:   "client URL",
		Short: "Send requests (http, https, tcp) and print a JSON report",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			report, err := runClient(cmd.Context(), args[0], o)
			if err != nil {
				return err
			}
			if err := json.NewEncoder(cmd.OutOrStdout()).Encode(report); err != nil {
				return fmt.Errorf("print the report: %w", err)
			}
			if bad := report.Requests - report.Codes["200"]; o.fail && bad > 0 {
				return fmt.Errorf("%d of %d requests were not answered with 200", bad, report.Requests)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.count, "count", 1, "number of requests; 0 means as many as --duration lets through")
	f.DurationVar(&o.duration, "duration", 0, "stop after this time; 0 means after --count")
	f.Float64Var(&o.rps, "rps", 0, "requests started per second; 0 means as fast as answers come")
	f.IntVar(&o.concurrency, "concurrency", 1, "requests in flight at most")
	f.DurationVar(&o.timeout, "timeout", 10*time.Second, "limit per request")
	f.StringVar(&o.method, "method", http.MethodGet, "HTTP method")
	f.StringVar(&o.host, "host", "", "Host header, and server name for https")
	f.StringArrayVar(&o.headers, "header", nil, "header as NAME:VALUE, may be repeated")
	f.BoolVar(&o.keepAlive, "keep-alive", true, "keep connections between requests")
	f.BoolVar(&o.insecure, "insecure", false, "accept any server certificate")
	f.BoolVar(&o.fail, "fail", false, "end with an error when a request was not answered with 200")
	f.BoolVar(&o.http2, "http2", false, "speak h2c to http URLs")
	return cmd
}

// runClient sends until the count or the duration is used up. Requests that
// fail are results, not errors: the error is for what could not be tried.
func runClient(ctx context.Context, address string, o clientOptions) (Report, error) {
	send, err := sender(address, o)
	if err != nil {
		return Report{}, err
	}
	if o.count <= 0 && o.duration <= 0 {
		return Report{}, errors.New("give --count or --duration, or the client never ends")
	}
	if o.concurrency < 1 || o.concurrency > maxConcurrency {
		return Report{}, fmt.Errorf("--concurrency must lie between 1 and %d", maxConcurrency)
	}
	stop := ctx
	if o.duration > 0 {
		var cancel context.CancelFunc
		stop, cancel = context.WithTimeout(ctx, o.duration)
		defer cancel()
	}
	tickets := make(chan struct{})
	go issue(stop, tickets, o)
	rec := newRecorder()
	var workers sync.WaitGroup
	for range o.concurrency {
		workers.Go(func() {
			for range tickets {
				rec.add(timed(ctx, o.timeout, send))
			}
		})
	}
	workers.Wait()
	return rec.done(), nil
}

// issue hands out one ticket per request at the wanted pace. When all workers
// are busy the pace slips, and the report's count shows it.
func issue(ctx context.Context, tickets chan<- struct{}, o clientOptions) {
	defer close(tickets)
	var tick <-chan time.Time
	if o.rps > 0 {
		ticker := time.NewTicker(time.Duration(float64(time.Second) / o.rps))
		defer ticker.Stop()
		tick = ticker.C
	}
	for n := 0; o.count <= 0 || n < o.count; n++ {
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
}

func timed(ctx context.Context, limit time.Duration, send func(context.Context) (int, []byte, error)) result {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	start := time.Now()
	code, body, err := send(ctx)
	return result{start: start, took: time.Since(start), code: code, body: body, err: err}
}

func sender(address string, o clientOptions) (func(context.Context) (int, []byte, error), error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("parse the URL: %w", err)
	}
	switch u.Scheme {
	case "tcp":
		return func(ctx context.Context) (int, []byte, error) { return sendTCP(ctx, u.Host) }, nil
	case "http", "https":
		return httpSender(u, o)
	}
	return nil, fmt.Errorf("URL %q: the scheme must be http, https or tcp", address)
}

func httpSender(u *url.URL, o clientOptions) (func(context.Context) (int, []byte, error), error) {
	headers := http.Header{}
	for _, h := range o.headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return nil, fmt.Errorf("--header %q: want NAME:VALUE", h)
		}
		headers.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	protocols := new(http.Protocols)
	if o.http2 {
		protocols.SetUnencryptedHTTP2(true)
	} else {
		protocols.SetHTTP1(true)
	}
	client := &http.Client{
		Transport: &http.Transport{
			Protocols: protocols, DisableKeepAlives: !o.keepAlive, MaxIdleConnsPerHost: o.concurrency,
			TLSClientConfig: &tls.Config{InsecureSkipVerify: o.insecure, ServerName: o.host, MinVersion: tls.VersionTLS12},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return func(ctx context.Context) (int, []byte, error) {
		req, err := http.NewRequestWithContext(ctx, o.method, u.String(), nil)
		if err != nil {
			return 0, nil, err
		}
		req.Header, req.Host = headers.Clone(), o.host
		resp, err := client.Do(req)
		if err != nil {
			return 0, nil, err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
		return resp.StatusCode, body, err
	}, nil
}

// sendTCP sends one line and expects it back; the code is 200 then.
func sendTCP(ctx context.Context, address string) (int, []byte, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return 0, nil, err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return 0, nil, err
		}
	}
	const line = "hello\n"
	if _, err := io.WriteString(conn, line); err != nil {
		return 0, nil, err
	}
	got, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return 0, nil, err
	}
	if got != line {
		return 0, nil, fmt.Errorf("sent %q, got %q back", line, got)
	}
	return http.StatusOK, []byte(got), nil
}
