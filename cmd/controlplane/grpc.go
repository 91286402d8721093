// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"runtime/debug"
	"time"

	"github.com/go-logr/logr"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/meshwright/meshwright/internal/xds"
)

const (
	msgPanic = "a request made the handler panic"

	// maxMessage bounds what a client may send: a delta request with 10,000 names and versions is below 2 MiB.
	maxMessage = 4 << 20
	// maxHeaders bounds a request's headers; a service account token takes about 1 KiB.
	maxHeaders = 64 << 10
	// maxStreams bounds the streams of one connection; a proxy needs one or two.
	maxStreams = 64
	// readBuffer is per connection and idle nearly always; the default of 32 KiB would be half of what a proxy costs.
	readBuffer = 8 << 10
	// window is what a client may send before we read it. Requests are small; a fixed window spares the pings by which
	// gRPC would measure a larger one.
	window = 64 << 10
	// handshakeLimit ends connections that do not finish TLS and HTTP/2 set-up.
	handshakeLimit = 15 * time.Second
	// pingInterval and pingTimeout notice proxies that vanished without closing. The answer to a ping comes behind all
	// that is on its way to the proxy, which is some MiB when it connects; pingFloor is the fastest that clients may ping.
	pingInterval = 30 * time.Second
	pingTimeout  = 30 * time.Second
	pingFloor    = 10 * time.Second
)

// newGRPC makes a server; a nil config means no TLS.
func newGRPC(config *tls.Config, log logr.Logger) *grpc.Server {
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessage), grpc.MaxHeaderListSize(maxHeaders), grpc.MaxConcurrentStreams(maxStreams),
		grpc.ForceServerCodecV2(xds.Codec()), grpc.InitialWindowSize(window), grpc.InitialConnWindowSize(window),
		grpc.ReadBufferSize(readBuffer), grpc.ConnectionTimeout(handshakeLimit),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingInterval, Timeout: pingTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingFloor, PermitWithoutStream: true}),
		grpc.UnaryInterceptor(func(ctx context.Context, in any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (out any, err error) {
			defer recovered(log, info.FullMethod, &err)
			return next(ctx, in)
		}),
		grpc.StreamInterceptor(func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
			defer recovered(log, info.FullMethod, &err)
			return next(srv, stream)
		}),
	}
	if config != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(config)))
	}
	return grpc.NewServer(options...)
}

// recovered turns a panic into an error for its caller alone: one bad request must not take every proxy's stream down.
func recovered(log logr.Logger, method string, err *error) {
	if r := recover(); r != nil {
		log.Error(fmt.Errorf("panic: %v", r), msgPanic, "method", method, "stack", string(debug.Stack()))
		*err = status.Error(codes.Internal, "the control plane failed on this request; see its log")
	}
}

// serveGRPC serves until the context ends, then waits for the streams to end by themselves or by server.Stop.
func serveGRPC(ctx context.Context, server *grpc.Server, listener net.Listener) error {
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve gRPC on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	server.GracefulStop()
	return nil
}
