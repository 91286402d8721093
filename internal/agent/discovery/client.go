// SPDX-License-Identifier: Apache-2.0

// Package discovery keeps a delta stream to the control plane open for what the agent itself needs to know. Envoy has a
// stream of its own: the agent must not depend on Envoy, nor Envoy on the agent, to learn of changes.
package discovery

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/go-logr/logr"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/meshwright/meshwright/internal/agent/identity"
)

const (
	// pingInterval and pingTimeout find a control plane that vanished without closing the connection.
	pingInterval = 30 * time.Second
	pingTimeout  = 10 * time.Second
	// maxResponse bounds one response; the control plane sends at most 2 MiB unless a single resource is larger.
	maxResponse = 16 << 20
	// wildcard asks for all resources of a type.
	wildcard = "*"
)

const (
	msgOpen    = "stream to the control plane is open"
	msgLost    = "stream to the control plane ended, keeping what is known"
	msgRefused = "refused what the control plane sent, keeping what was known before"
)

// Options of a Client.
type Options struct {
	// Address is HOST:PORT of the control plane; its certificate must carry HOST.
	Address string
	// Node is who the proxy is, the same as Envoy says.
	Node *corev3.Node
	// Identity is the current certificate, never nil.
	Identity func() *identity.Material
	// Type is the type URL of the resources.
	Type string
	// Apply takes in a response. An error refuses it as a whole, and nothing of it has been taken in.
	Apply func(set []*discoveryv3.Resource, removed []string) error
	// Connected tells when the stream opens and ends.
	Connected func(bool)
	Log       logr.Logger
}

// Client subscribes to all resources of one type. What was received stays valid while there is no stream, and a new stream
// begins where the last one ended.
type Client struct {
	options Options
	// held is the version of each resource that was taken in.
	held map[string]string
}

// NewClient makes a client that does nothing until Run.
func NewClient(options Options) *Client {
	return &Client{options: options, held: map[string]string{}}
}

// Run keeps a stream open until the context ends.
func (c *Client) Run(ctx context.Context) {
	failures := 0
	for {
		answered, err := c.stream(ctx)
		c.options.Connected(false)
		if ctx.Err() != nil {
			return
		}
		if answered {
			failures = 0
		}
		failures++
		pause := identity.Backoff(failures)
		c.options.Log.Info(msgLost, "error", err.Error(), "retryAfter", pause.Round(time.Millisecond).String())
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// stream works until the stream ends. It reports whether the control plane answered at all.
func (c *Client) stream(ctx context.Context) (answered bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	transport, err := transport(c.options.Address, c.options.Identity())
	if err != nil {
		return false, err
	}
	conn, err := grpc.NewClient("dns:///"+c.options.Address,
		grpc.WithTransportCredentials(transport),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingInterval, Timeout: pingTimeout}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxResponse)))
	if err != nil {
		return false, fmt.Errorf("connect to %s: %w", c.options.Address, err)
	}
	defer conn.Close()
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		return false, fmt.Errorf("open a stream to %s: %w", c.options.Address, err)
	}
	request := &discoveryv3.DeltaDiscoveryRequest{
		Node: c.options.Node, TypeUrl: c.options.Type, ResourceNamesSubscribe: []string{wildcard}, InitialResourceVersions: maps.Clone(c.held),
	}
	if err := stream.Send(request); err != nil {
		return false, streamError(stream, err)
	}
	c.options.Log.V(1).Info(msgOpen)
	c.options.Connected(true)
	for {
		response, err := stream.Recv()
		if err != nil {
			return answered, fmt.Errorf("stream to %s: %w", c.options.Address, err)
		}
		answered = true
		if err := stream.Send(c.take(response)); err != nil {
			return answered, streamError(stream, err)
		}
	}
}

// streamError is why a stream cannot be written to: the reason comes with the next message.
func streamError(stream grpc.ClientStream, err error) error {
	if reason := stream.RecvMsg(&discoveryv3.DeltaDiscoveryResponse{}); reason != nil {
		err = reason
	}
	return fmt.Errorf("write to the control plane: %w", err)
}

// take takes in a response and makes the ACK, or the NACK when it cannot be used.
func (c *Client) take(response *discoveryv3.DeltaDiscoveryResponse) *discoveryv3.DeltaDiscoveryRequest {
	answer := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: response.GetTypeUrl(), ResponseNonce: response.GetNonce()}
	err := errors.New("not the type that was asked for")
	if response.GetTypeUrl() == c.options.Type {
		err = c.options.Apply(response.GetResources(), response.GetRemovedResources())
	}
	if err != nil {
		c.options.Log.Error(err, msgRefused)
		answer.ErrorDetail = &status.Status{Code: int32(codes.InvalidArgument), Message: err.Error()}
		return answer
	}
	for _, name := range response.GetRemovedResources() {
		delete(c.held, name)
	}
	for _, r := range response.GetResources() {
		c.held[r.GetName()] = r.GetVersion()
	}
	return answer
}

// transport shows the workload's certificate and accepts only a server with the name that was dialled, signed by a root of
// the mesh. It is made for each connection, as both may have been renewed.
func transport(address string, material *identity.Material) (credentials.TransportCredentials, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("address of the control plane: %w", err)
	}
	own, err := tls.X509KeyPair(material.Chain, material.Key)
	if err != nil {
		return nil, fmt.Errorf("the workload's certificate: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(material.Roots) {
		return nil, errors.New("there is no root certificate")
	}
	return credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{own}, RootCAs: roots, ServerName: host,
	}), nil
}
