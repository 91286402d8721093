// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// Probe opens a discovery stream as a proxy does, says nothing on it and sees the service end it in order. So somebody
// listens at the address, has a certificate that the configuration trusts, and serves discovery; no proxy is made up for it.
func Probe(ctx context.Context, address string, config *tls.Config) error {
	connection, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(credentials.NewTLS(config)), grpc.WithNoProxy())
	if err != nil {
		return fmt.Errorf("call discovery at %s: %w", address, err)
	}
	defer func() { _ = connection.Close() }()
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(connection).DeltaAggregatedResources(ctx)
	if err == nil {
		err = stream.CloseSend()
	}
	if err == nil {
		_, err = stream.Recv()
	}
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err == nil:
		return fmt.Errorf("discovery at %s answers what nobody asked", address)
	}
	return fmt.Errorf("call discovery at %s: %w", address, err)
}
