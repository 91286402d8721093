// SPDX-License-Identifier: Apache-2.0

package xds

import (
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
)

// HealthType is the type of requests by which a client tells of the health of the
// workload that it stands beside, and asks for nothing: with an error detail it is
// not healthy. Agents of other meshes use the same.
const HealthType = "type.googleapis.com/istio.v1.HealthInformation"

// Guest is told how a stream goes on. Calls for one stream come one after the other.
// An implementation must not block.
type Guest interface {
	// Health takes what is wrong with the workload, empty when nothing is.
	Health(problem string)
	// Left is the last call: the stream has ended.
	Left()
}

// receiveGuest asks who wants to be told of the stream.
func (s *session) receiveGuest(node *core.Node) error {
	if s.hub.opts.Guest == nil {
		return nil
	}
	guest, err := s.hub.opts.Guest(node, s.peer)
	s.guest = guest
	return err
}

// hear takes in what a client says of its workload's health.
func (s *session) hear(req *request) error {
	if s.guest == nil {
		return nil
	}
	problem := ""
	if req.refused {
		message, err := req.message()
		if err != nil {
			return err
		}
		if problem = message; problem == "" {
			problem = "the workload is not healthy"
		}
	}
	s.guest.Health(problem)
	return nil
}
