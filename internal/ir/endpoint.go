// SPDX-License-Identifier: Apache-2.0

package ir

import (
	"cmp"
	"net/netip"
	"strings"
)

// Backend is one address that serves a host, with everything that a subset, a
// TLS setting or a locality needs to know of it.
type Backend struct {
	Addr     netip.Addr // not valid: Name is resolved by the proxy
	Also     netip.Addr // of the other family; not valid: it has none
	Name     string
	Ports    []SlicePort // sorted by name
	Labels   Labels
	Identity string   // SPIFFE id; empty without a pod
	TLS      bool     // speaks mesh mutual TLS
	Plain    []uint16 // ports that take no mesh TLS all the same, sorted
	Locality Locality
	Draining bool // terminating; for clients that stay with it, and for all while nothing else serves
	Presumed bool // its slice calls it not ready, its pod does not; kept while nothing is ready
	Unready  bool // does not serve; kept of headless hosts only, whose pods are called one by one
	Network  string
	Cluster  string
	Weight   uint32 // 0: 1
}

// Addrs is all addresses of the backend.
func (b *Backend) Addrs() []netip.Addr {
	if !b.Also.IsValid() {
		return []netip.Addr{b.Addr}
	}
	return []netip.Addr{b.Addr, b.Also}
}

// PortNumber is the number behind a Service's port name.
func (b *Backend) PortNumber(name string) (uint16, bool) {
	for _, p := range b.Ports {
		if p.Name == name {
			return p.Port, true
		}
	}
	return 0, false
}

// EndpointSet is all that serves a host, over all slices and clusters, sorted by address.
type EndpointSet struct {
	Host     string
	Backends []Backend
}

// HostIdentity is what clients must know of a host's servers to speak mutual TLS.
// It changes seldom: never because a pod comes or goes within its workload.
type HostIdentity struct {
	Host       string
	Identities []string // SPIFFE ids, sorted
}

// TargetPorts is the numbers behind a host's ports, for inbound listeners.
type TargetPorts struct {
	Host  string
	Ports []TargetPort // sorted by service port, then target
}

// TargetPort is one pair.
type TargetPort struct {
	Port   uint16
	Target uint16
}

// Endpoint is a line of a load assignment.
type Endpoint struct {
	Addr   netip.Addr // not valid: Name is resolved by the proxy
	Also   netip.Addr // for clients that do not get through by Addr; not valid: none
	Name   string
	Port   uint16
	TLS    bool
	Weight uint32 // 0: 1

	Leaving bool // for requests that name it only
}

// LocalityEndpoints is the endpoints of one locality.
type LocalityEndpoints struct {
	Locality  Locality
	Priority  uint32     // 0 is used first; without gaps
	Weight    uint32     // share of the requests; 0: by the number of endpoints
	Endpoints []Endpoint // sorted by address, port
}

// Assignment is the endpoints of one cluster.
type Assignment struct {
	Cluster    ClusterKey
	Localities []LocalityEndpoints // sorted by priority, then locality
}

// Compare orders localities by region, zone, sub-zone.
func (l Locality) Compare(o Locality) int {
	return cmp.Or(
		strings.Compare(l.Region, o.Region),
		strings.Compare(l.Zone, o.Zone),
		strings.Compare(l.SubZone, o.SubZone),
	)
}
