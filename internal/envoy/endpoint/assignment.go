// SPDX-License-Identifier: Apache-2.0

// Package endpoint builds Envoy's load assignments.
package endpoint

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshwright/meshwright/internal/envoy/typed"
	"github.com/meshwright/meshwright/internal/ir"
)

// Assignment is the endpoints of a cluster. An empty one is sent too: a cluster
// whose endpoints are not known never becomes ready.
func Assignment(a *ir.Assignment) *endpointv3.ClusterLoadAssignment {
	out := &endpointv3.ClusterLoadAssignment{ClusterName: a.Cluster.Name()}
	for i := range a.Localities {
		out.Endpoints = append(out.Endpoints, locality(&a.Localities[i]))
	}
	return out
}

func locality(l *ir.LocalityEndpoints) *endpointv3.LocalityLbEndpoints {
	out := &endpointv3.LocalityLbEndpoints{Priority: l.Priority}
	if l.Locality != (ir.Locality{}) {
		out.Locality = &corev3.Locality{
			Region: l.Locality.Region, Zone: l.Locality.Zone, SubZone: l.Locality.SubZone,
		}
	}
	if l.Weight > 0 {
		out.LoadBalancingWeight = wrapperspb.UInt32(l.Weight)
	}
	out.LbEndpoints = make([]*endpointv3.LbEndpoint, len(l.Endpoints))
	for i := range l.Endpoints {
		out.LbEndpoints[i] = line(&l.Endpoints[i])
	}
	return out
}

func line(e *ir.Endpoint) *endpointv3.LbEndpoint {
	out := &endpointv3.LbEndpoint{
		HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{
			Address: typed.Address(hostOf(e), e.Port),
		}},
	}
	if e.Also.IsValid() {
		out.GetEndpoint().AdditionalAddresses = []*endpointv3.Endpoint_AdditionalAddress{{Address: typed.Address(e.Also.String(), e.Port)}}
	}
	if e.Weight > 1 {
		out.LoadBalancingWeight = wrapperspb.UInt32(e.Weight)
	}
	if e.Leaving {
		out.HealthStatus = corev3.HealthStatus_DRAINING
	}
	if e.TLS {
		out.Metadata = meshed
	}
	return out
}

// hostOf is an address, or a name that the proxy resolves.
func hostOf(e *ir.Endpoint) string {
	if e.Addr.IsValid() {
		return e.Addr.String()
	}
	return e.Name
}

// meshed selects the mutual TLS socket of a cluster's transport_socket_matches.
// It is shared by all assignments and never written.
var meshed = &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{
	"envoy.transport_socket_match": {Fields: map[string]*structpb.Value{
		"tlsMode": structpb.NewStringValue("istio"),
	}},
}}
