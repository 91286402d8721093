// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// serve starts the server that all addresses share, behind a listener.
func serve(t *testing.T, o serverOptions, wrap func(net.Listener) net.Listener) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := newServer(o)
	t.Cleanup(func() { _ = srv.Close() })
	go func() { _ = srv.Serve(wrap(l)) }()
	return l.Addr().String()
}

func plain(l net.Listener) net.Listener { return l }

func told(t *testing.T, r Report) answer {
	t.Helper()
	var got answer
	if err := json.Unmarshal(r.Last, &got); err != nil {
		t.Fatalf("report %+v: %v", r, err)
	}
	return got
}

func TestWebSocketAndGRPCOnTheHTTPPort(t *testing.T) {
	at := serve(t, serverOptions{host: "pod-1", version: "v2"}, plain)
	got := told(t, client(t, "ws://"+at+"/chat", clientOptions{headers: []string{"x-a: b"}}))
	if got.Path != "/chat" || got.Version != "v2" || got.Body != len(line) || got.Headers["X-A"][0] != "b" {
		t.Errorf("by WebSocket: %+v", got)
	}
	got = told(t, client(t, "grpc://"+at, clientOptions{headers: []string{"x-a: b"}}))
	if got.Path != tellMethod || got.Version != "v2" || got.Asked != at || got.Headers["x-a"][0] != "b" {
		t.Errorf("by gRPC: %+v", got)
	}
}

func TestWebSocketThatIsRefused(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	if r := client(t, strings.Replace(srv.URL, "http", "ws", 1), clientOptions{}); r.Codes["404"] != 1 {
		t.Errorf("report %+v, want the 404", r)
	}
}

func TestGRPCStatusIsACode(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Grpc-Status", "7")
	}))
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Start()
	defer srv.Close()
	if r := client(t, strings.Replace(srv.URL, "http", "grpc", 1), clientOptions{}); r.Codes["1007"] != 1 {
		t.Errorf("codes %v, want 1007", r.Codes)
	}
}

func TestGRPCWebReadsTheTrailers(t *testing.T) {
	message, err := structpb.NewStruct(map[string]any{"version": "v3"})
	if err != nil {
		t.Fatal(err)
	}
	body, err := proto.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	for trailers, good := range map[string]bool{"grpc-status: 0\r\n": true, "grpc-status:14\r\n": false, "": false} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != tellMethod || r.Header.Get("Content-Type") != "application/grpc-web+proto" {
				http.Error(w, "not gRPC-Web", http.StatusUnsupportedMediaType)
				return
			}
			_, _ = fmt.Fprintf(w, "\x00\x00\x00\x00%c%s\x80\x00\x00\x00%c%s", len(body), body, len(trailers), trailers)
		}))
		r := client(t, strings.Replace(srv.URL, "http", "grpc-web", 1), clientOptions{})
		srv.Close()
		if (r.Versions["v3"] == 1) != good || (len(r.Errors) == 0) != good {
			t.Errorf("with the trailers %q: %+v", trailers, r)
		}
	}
}

func TestServerThatSpeaksFirst(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() { _ = serveGreeting(l, greeting("pod-1", "v2")) }()
	r := client(t, "greeted://"+l.Addr().String(), clientOptions{count: 3, hold: 20 * time.Millisecond})
	if r.Codes["200"] != 3 || r.Versions["v2"] != 3 || r.Hosts["pod-1"] != 3 || r.Latency.P50 < 20 {
		t.Errorf("report %+v", r)
	}
}

func TestProxyHeaders(t *testing.T) {
	at := serve(t, serverOptions{host: "pod-1"}, func(l net.Listener) net.Listener { return proxiedListener{l} })
	const v4 = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0f\x0a\x00\x00\x07\x0a\x00\x00\x08\x12\x34\x00\x50\x04\x00\x00"
	for header, want := range map[string]string{
		v4:                                       "v2 10.0.0.7:4660",
		"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00": "v2 unknown",
		"PROXY TCP4 10.0.0.7 10.0.0.8 4711 80\r\n": "v1 10.0.0.7:4711",
		"PROXY UNKNOWN\r\n":                        "v1 unknown",
		"":                                         "",
		"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x02\x0a\x00":     "v2 unknown",
		"PROXY " + strings.Repeat("x", 2*maxHeaderV2) + "\n": "",
	} {
		conn, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, header+"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		var got answer
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err == nil && resp.StatusCode == http.StatusOK {
			err = json.NewDecoder(resp.Body).Decode(&got)
		}
		_ = conn.Close()
		if got.Proxied != want || (got.Host == "pod-1") != (want != "") {
			t.Errorf("after %.20q: proxied %q (%v), want %q", header, got.Proxied, err, want)
		}
	}
}

func TestTunnelIsOpenedOnlyWhenAsked(t *testing.T) {
	far := serve(t, serverOptions{host: "far"}, plain)
	for tunnel, want := range map[bool]int{true: 1, false: 0} {
		near := serve(t, serverOptions{host: "near", tunnel: tunnel}, plain)
		via := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: near})}}
		// CONNECT is used for https alone: the far server's plaintext is the proof that it got there.
		_, err := via.Get("https://" + far)
		reached := err != nil && strings.Contains(err.Error(), "HTTP response to HTTPS client")
		if reached != (want == 1) {
			t.Errorf("with tunnel %v: %v", tunnel, err)
		}
		via.CloseIdleConnections()
	}
}

func TestSeenCountsByKeyAndFateIsOfOneHost(t *testing.T) {
	at := "http://" + serve(t, serverOptions{host: "pod-1"}, plain)
	client(t, at, clientOptions{count: 3, headers: []string{"x-key: k"}})
	for key, want := range map[string]string{"k": `"seen":3`, "other": `"seen":0`} {
		if r := client(t, at+"/seen?key="+key, clientOptions{}); !strings.Contains(string(r.Last), want) {
			t.Errorf("seen of %s: %s, want %s", key, r.Last, want)
		}
	}
	for host, code := range map[string]string{"pod-1": "503", "pod-2": "200"} {
		if r := client(t, at+"/?status=503&delay=1ms&at="+host, clientOptions{}); r.Codes[code] != 1 {
			t.Errorf("at %s: codes %v, want %s", host, r.Codes, code)
		}
	}
}

func TestReportHasTheLastHeaders(t *testing.T) {
	srv := httptest.NewServer(http.RedirectHandler("/there", http.StatusFound))
	defer srv.Close()
	if r := client(t, srv.URL, clientOptions{}); r.Codes["302"] != 1 || r.LastHeaders.Get("Location") != "/there" {
		t.Errorf("report %+v", r)
	}
}

func TestRequestsAreNumbered(t *testing.T) {
	at := "http://" + serve(t, serverOptions{host: "pod-1"}, plain)
	r := client(t, at+"/{n}?x={n}", clientOptions{count: 3, headers: []string{"x-user: user-{n}"}})
	if got := told(t, r); got.Path != "/3" || got.Query != "x=3" || got.Headers["X-User"][0] != "user-3" {
		t.Errorf("the third request: %+v", got)
	}
}
