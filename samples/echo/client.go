// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
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
	hold        time.Duration
}

const (
	maxConcurrency = 256
	// numberMark in the URL or in a header stands for the number of the request.
	numberMark = "{n}"
)

func clientCommand() *cobra.Command {
	var o clientOptions
	cmd := &cobra.Command{
		Use:   "client URL",
		Short: "Send requests (http, https, ws, grpc, grpc-web, tcp, or greeted for TCP servers that speak first) and print a JSON report",
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
	f.StringArrayVar(&o.headers, "header", nil, "header as NAME:VALUE, may be repeated; {n} in it or in the URL is the request's number")
	f.BoolVar(&o.keepAlive, "keep-alive", true, "keep connections between requests")
	f.BoolVar(&o.insecure, "insecure", false, "accept any server certificate")
	f.BoolVar(&o.fail, "fail", false, "end with an error when a request was not answered with 200")
	f.DurationVar(&o.hold, "hold", 0, "how long to hold a connection of tcp or greeted after the answer")
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

// response is what came back for one request.
type response struct {
	code   int
	header http.Header
	body   []byte
}

type sendFunc func(context.Context) (response, error)

func timed(ctx context.Context, limit time.Duration, send sendFunc) result {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	start := time.Now()
	got, err := send(ctx)
	return result{response: got, start: start, took: time.Since(start), err: err}
}

func sender(address string, o clientOptions) (sendFunc, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("parse the URL: %w", err)
	}
	headers, err := headersOf(o.headers)
	if err != nil {
		return nil, err
	}
	switch u.Scheme {
	case "tcp", "greeted":
		return func(ctx context.Context) (response, error) {
			code, body, err := sendTCP(ctx, u.Host, u.Scheme == "greeted", o.hold)
			return response{code: code, body: body}, err
		}, nil
	case "ws":
		return func(ctx context.Context) (response, error) { return sendWebSocket(ctx, u, headers) }, nil
	case "grpc":
		return grpcSender(u, headers)
	case "grpc-web":
		client := httpClient(o)
		return func(ctx context.Context) (response, error) { return sendGRPCWeb(ctx, client, u, headers) }, nil
	case "http", "https":
		return httpSender(address, headers, o), nil
	}
	return nil, fmt.Errorf("URL %q: the scheme must be http, https, ws, grpc, grpc-web, tcp or greeted", address)
}

func headersOf(given []string) (http.Header, error) {
	headers := http.Header{}
	for _, h := range given {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return nil, fmt.Errorf("--header %q: want NAME:VALUE", h)
		}
		headers.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	return headers, nil
}

func httpClient(o clientOptions) *http.Client {
	protocols := new(http.Protocols)
	if o.http2 {
		protocols.SetUnencryptedHTTP2(true)
	} else {
		protocols.SetHTTP1(true)
	}
	return &http.Client{
		Transport: &http.Transport{
			Protocols: protocols, DisableKeepAlives: !o.keepAlive, MaxIdleConnsPerHost: o.concurrency,
			TLSClientConfig: &tls.Config{InsecureSkipVerify: o.insecure, ServerName: o.host, MinVersion: tls.VersionTLS12},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func httpSender(address string, headers http.Header, o clientOptions) sendFunc {
	client := httpClient(o)
	var sent atomic.Int64
	return func(ctx context.Context) (response, error) {
		number := strconv.FormatInt(sent.Add(1), 10)
		req, err := http.NewRequestWithContext(ctx, o.method, strings.ReplaceAll(address, numberMark, number), nil)
		if err != nil {
			return response{}, err
		}
		req.Header, req.Host = headers.Clone(), o.host
		for _, values := range req.Header {
			for i := range values {
				values[i] = strings.ReplaceAll(values[i], numberMark, number)
			}
		}
		resp, err := client.Do(req)
		if err != nil {
			return response{}, err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
		return response{code: resp.StatusCode, header: resp.Header, body: body}, err
	}
}
