// SPDX-License-Identifier: Apache-2.0

package xds

import (
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// Register makes a gRPC server serve the hub's resources.
func (h *Hub) Register(server grpc.ServiceRegistrar) {
	discovery.RegisterAggregatedDiscoveryServiceServer(server, &service{hub: h})
}

type service struct {
	discovery.UnimplementedAggregatedDiscoveryServiceServer
	hub *Hub
}

// DeltaAggregatedResources serves one client.
func (v *service) DeltaAggregatedResources(stream discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	s := v.hub.session(&deltaConn{stream: stream, shared: !compressed(stream)}, peerOf(stream))
	ended := make(chan error, 1)
	go func() { ended <- s.listen(stream) }()
	err := s.run(v.hub.done, ended)
	if err != nil {
		v.hub.opts.Log.Info(msgStreamEnded, keyNode, s.node, keyError, err.Error())
	}
	select {
	case <-v.hub.done:
		return status.Error(codes.Unavailable, "the control plane is shutting down")
	default:
		return err
	}
}

// listen takes in what the client sends until it ends the stream, or until
// something is wrong with it.
func (s *session) listen(stream grpc.ServerStream) error {
	f := newFrame(s.hub.rooms)
	defer f.drop()
	for {
		if err := stream.RecvMsg(f); err != nil {
			return nil
		}
		if err := s.step(f); err != nil {
			return err
		}
	}
}

func (h *Hub) session(c conn, p Peer) *session {
	h.stats.streams.Add(1)
	return &session{hub: h, conn: c, peer: p, wake: make(chan struct{}, 1)}
}

func peerOf(stream grpc.ServerStream) Peer {
	p, ok := peer.FromContext(stream.Context())
	if !ok {
		return Peer{}
	}
	return Peer{Address: p.Addr, Auth: p.AuthInfo}
}

// compressed tells whether the client compresses; the server answers such a
// client compressed, so it cannot share marshalled bytes with the others.
func compressed(stream grpc.ServerStream) bool {
	t, ok := grpc.ServerTransportStreamFromContext(stream.Context()).(interface{ RecvCompress() string })
	if !ok {
		return true
	}
	c := t.RecvCompress()
	return c != "" && c != encoding.Identity
}

type deltaConn struct {
	stream discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer
	shared bool
}

func (c *deltaConn) send(r *response) error {
	if !c.shared {
		return c.stream.Send(r.message)
	}
	p, err := r.prepare(c.stream)
	if err != nil {
		return err
	}
	return c.stream.SendMsg(p)
}
