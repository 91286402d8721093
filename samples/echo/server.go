// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
)

const (
	headerWait  = 10 * time.Second
	shutdownMax = 20 * time.Second
)

// serverOptions say where a server listens and how it leaves. An empty address
// is not listened on.
type serverOptions struct {
	http, tcp, greet string
	// https ends TLS with the certificate and key of the two files.
	https, certificate, key string
	// proxied is HTTP that a PROXY header must come before.
	proxied string
	// tunnel lets CONNECT through, to wherever it asks for.
	tunnel        bool
	host, version string
	// linger is how long the server goes on accepting after SIGTERM. Zero is
	// what most applications do: stop accepting at once, finish what runs.
	linger time.Duration
}

func defaultServer() serverOptions {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return serverOptions{http: ":8080", tcp: ":9090", greet: ":9091", host: host, version: os.Getenv("VERSION")}
}

func serverCommand() *cobra.Command {
	o := defaultServer()
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Serve HTTP/1.1, h2c, WebSocket and gRPC, a TCP echo, and a TCP server that speaks first",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return runServer(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.http, "http", o.http, "addresses of the HTTP server, with commas between them; unix:PATH and unix:@NAME are Unix sockets")
	f.StringVar(&o.tcp, "tcp", o.tcp, "address of the TCP echo, empty for none")
	f.StringVar(&o.greet, "greet", o.greet, "address of the TCP server that speaks first, empty for none")
	f.StringVar(&o.https, "https", o.https, "address of the HTTPS server, empty for none")
	f.StringVar(&o.certificate, "cert", o.certificate, "file of the HTTPS server's certificate")
	f.StringVar(&o.key, "key", o.key, "file of the HTTPS server's key")
	f.StringVar(&o.proxied, "proxied", o.proxied, "address of the HTTP server behind PROXY headers, empty for none")
	f.BoolVar(&o.tunnel, "tunnel", o.tunnel, "answer CONNECT by connecting to whatever it names")
	f.StringVar(&o.version, "version", o.version, "version told in every answer")
	f.DurationVar(&o.linger, "linger", o.linger, "how long to go on accepting after SIGTERM")
	return cmd
}

// runServer serves until ctx ends, then stops accepting and lets the requests
// in flight finish.
func runServer(ctx context.Context, o serverOptions) error {
	srv := newServer(o)
	type listening struct {
		what, address string
		serve         func(net.Listener) error
	}
	var parts []listening
	for address := range strings.SplitSeq(o.http, ",") {
		parts = append(parts, listening{"HTTP", address, srv.Serve})
	}
	parts = append(parts, []listening{
		{"HTTPS", o.https, func(l net.Listener) error { return srv.ServeTLS(l, o.certificate, o.key) }},
		{"HTTP behind PROXY headers", o.proxied, func(l net.Listener) error { return srv.Serve(proxiedListener{l}) }},
		{"TCP", o.tcp, serveTCP},
		{"TCP that is greeted", o.greet, func(l net.Listener) error { return serveGreeting(l, greeting(o.host, o.version)) }},
	}...)
	failed := make(chan error, len(parts))
	for _, part := range parts {
		if part.address == "" {
			continue
		}
		listener, err := listen(part.address)
		if err != nil {
			return fmt.Errorf("listen for %s: %w", part.what, err)
		}
		defer listener.Close()
		go func() { failed <- part.serve(listener) }()
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	time.Sleep(o.linger)
	end, cancel := context.WithTimeout(context.Background(), shutdownMax)
	defer cancel()
	if err := srv.Shutdown(end); err != nil {
		return fmt.Errorf("finish the requests in flight: %w", err)
	}
	return nil
}

// listen opens a port, or with unix: a socket of the file system or, after @, of a name.
func listen(address string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return net.Listen("unix", path)
	}
	return net.Listen("tcp", address)
}

// newServer is the HTTP server of all of the addresses that speak it.
func newServer(o serverOptions) *http.Server {
	h := newHandler(o.host, o.version)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler: dispatch(h, newGRPC(h), o.tunnel), Protocols: protocols, ReadHeaderTimeout: headerWait,
		TLSConfig:   &tls.Config{MinVersion: tls.VersionTLS12, ClientAuth: tls.RequestClientCert},
		ConnContext: proxiedContext,
	}
}

// dispatch sends each request to what speaks its protocol.
func dispatch(h *handler, rpc *grpc.Server, tunnel bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodConnect && !tunnel:
			http.Error(w, "no tunnels here: start the server with --tunnel", http.StatusMethodNotAllowed)
		case r.Method == http.MethodConnect:
			connect(w, r)
		case isGRPC(r):
			rpc.ServeHTTP(w, r)
		case isWebSocket(r):
			h.serveWebSocket(w, r)
		default:
			h.ServeHTTP(w, r)
		}
	})
}
