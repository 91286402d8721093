// SPDX-License-Identifier: Apache-2.0

//go:build linux

package live

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Echo is what an application of ServeEcho says of a request.
type Echo struct {
	Pod, Method, Host, Path, Proto, Remote string
	Header                                 http.Header
}

// ServeEcho answers HTTP/1.1 and HTTP/2 without TLS on a port of the pod, with an
// Echo as JSON.
func (p *Pod) ServeEcho(port uint16) { p.Serve(port, p.echo()) }

func (p *Pod) echo() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("x-pod", p.Name)
		_ = json.NewEncoder(w).Encode(Echo{
			Pod: p.Name, Method: r.Method, Host: r.Host, Path: r.URL.RequestURI(), Proto: r.Proto, Remote: r.RemoteAddr, Header: r.Header,
		})
	})
}

// Serve answers HTTP/1.1 and HTTP/2 without TLS on a port of the pod.
func (p *Pod) Serve(port uint16, handler http.Handler) {
	p.world.t.Helper()
	l := p.Listen(fmt.Sprintf(":%d", port))
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: handler, Protocols: protocols, ReadHeaderTimeout: Patience}
	go func() { _ = server.Serve(l) }()
	p.world.t.Cleanup(func() { _ = server.Close() })
}

// Call is one request.
type Call struct {
	To     string // IP:PORT that is dialled
	URL    string // scheme, authority and path
	Opaque string // path and query as they are sent; "" takes those of the URL
	Method string // GET when empty
	Header http.Header
	Body   string
	TLS    *tls.Config // with https; nil trusts any server
	HTTP2  bool        // with http: without negotiation
	Client *http.Client

	Context context.Context // nil when nothing is to be traced
}

// Answer is what came of a call.
type Answer struct {
	Status int
	Header http.Header
	Body   string
	Proto  string
	TLS    *tls.ConnectionState

	Trailer http.Header
	Err     error
}

// Echo is the body of an application of ServeEcho.
func (a Answer) Echo() Echo {
	var out Echo
	_ = json.Unmarshal([]byte(a.Body), &out)
	return out
}

// String is STATUS, POD or the body, or the error.
func (a Answer) String() string {
	if a.Err != nil {
		return "error: " + a.Err.Error()
	}
	if pod := a.Header.Get("x-pod"); pod != "" {
		return fmt.Sprintf("%d %s", a.Status, pod)
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", a.Status, a.Body))
}

// Client keeps connections open between calls, all of them made to one address.
func (p *Pod) Client(to string, config *tls.Config, http2 bool) *http.Client {
	if config == nil {
		config = &tls.Config{InsecureSkipVerify: true}
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(http2)
	return &http.Client{
		Timeout:       Patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			TLSClientConfig: config, Protocols: protocols, DisableCompression: true,
			DialContext: func(context.Context, string, string) (net.Conn, error) { return p.Dial(to) },
		},
	}
}

// Call sends a request from the pod, on a connection of its own unless the call has
// a client.
func (p *Pod) Call(c Call) Answer {
	client := c.Client
	if client == nil {
		client = p.Client(c.To, c.TLS, c.HTTP2)
		defer client.CloseIdleConnections()
	}
	if c.Context == nil {
		c.Context = context.Background()
	}
	ctx, cancel := context.WithTimeout(c.Context, Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, c.Method, c.URL, strings.NewReader(c.Body))
	if err != nil {
		return Answer{Err: err}
	}
	if c.Opaque != "" {
		req.URL.Opaque = c.Opaque
	}
	for k, v := range c.Header {
		req.Header[k] = v
	}
	resp, err := client.Do(req)
	if err != nil {
		return Answer{Err: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return Answer{Status: resp.StatusCode, Header: resp.Header, Body: string(body), Proto: resp.Proto, TLS: resp.TLS, Trailer: resp.Trailer, Err: err}
}

// Expect calls until the answer begins with want.
func (p *Pod) Expect(c Call, want string) Answer {
	p.world.t.Helper()
	var got Answer
	p.world.Eventually(p.Name+" calls "+c.URL+" at "+c.To, func() error {
		if got = p.Call(c); !strings.HasPrefix(got.String(), want) {
			return fmt.Errorf("got %q, want %q", got, want)
		}
		return nil
	})
	return got
}

// Hammer calls until the returned function is called, which gives the number of
// calls and those whose answers did not begin with want.
func (p *Pod) Hammer(c Call, want string) func() (calls int, wrong []string) {
	done, ended := make(chan struct{}), make(chan struct{})
	var calls int
	var wrong []string
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
			}
			calls++
			if got := p.Call(c).String(); !strings.HasPrefix(got, want) {
				wrong = append(wrong, got)
			}
		}
	}()
	return func() (int, []string) {
		close(done)
		<-ended
		return calls, wrong
	}
}

// Load calls at a steady rate a second, on connections that are kept, until the
// returned function is called, which gives what that of Hammer does.
func (p *Pod) Load(c Call, rate int, want string) func() (calls int, wrong []string) {
	c.Client = p.Client(c.To, c.TLS, c.HTTP2)
	done, ended := make(chan struct{}), make(chan struct{})
	var mu sync.Mutex
	var calls int
	var wrong []string
	go func() {
		defer close(ended)
		var running sync.WaitGroup
		defer running.Wait()
		tick := time.NewTicker(time.Second / time.Duration(rate))
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			running.Go(func() {
				got := p.Call(c).String()
				mu.Lock()
				defer mu.Unlock()
				calls++
				if !strings.HasPrefix(got, want) {
					wrong = append(wrong, got)
				}
			})
		}
	}()
	return func() (int, []string) {
		close(done)
		<-ended
		c.Client.CloseIdleConnections()
		return calls, wrong
	}
}
