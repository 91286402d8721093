// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"

	"github.com/spf13/cobra"
)

// connect connects to what a CONNECT names and carries bytes until one side ends.
func connect(w http.ResponseWriter, r *http.Request) {
	far, err := new(net.Dialer).DialContext(r.Context(), "tcp", r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer far.Close()
	near, both, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusHTTPVersionNotSupported)
		return
	}
	defer near.Close()
	if _, err := io.WriteString(near, "HTTP/1.1 200 Connection Established\r\n\r\n"); err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(far, both)
		_ = far.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(near, far)
}

// forwardCommand is a reverse proxy that knows nothing of a mesh.
func forwardCommand() *cobra.Command {
	address := ":8080"
	cmd := &cobra.Command{
		Use:   "forward URL",
		Short: "Send all requests on to another server, as a plain reverse proxy does",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			to, err := url.Parse(args[0])
			if err != nil {
				return err
			}
			proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}
			srv := &http.Server{Addr: address, Handler: proxy, ReadHeaderTimeout: headerWait}
			go func() {
				<-cmd.Context().Done()
				_ = srv.Close()
			}()
			if err := srv.ListenAndServe(); err != nil && cmd.Context().Err() == nil {
				return err
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&address, "listen", address, "address to listen on")
	return cmd
}
