// SPDX-License-Identifier: Apache-2.0

package ir

import (
	"cmp"
	"net/netip"
	"strings"
)

// ServiceEntry is hosts that users add to those of Kubernetes.
type ServiceEntry struct {
	Origin     Origin
	Created    int64          // seconds since the epoch
	Hosts      []string       // lower case, names or "*.SUFFIX"; sorted
	Addresses  []netip.Prefix // at which the hosts are called; sorted
	Allocate   bool           // hosts without addresses get one of their own
	Ports      []ServicePort  // sorted by port; Target is never 0
	External   bool           // outside the mesh: no endpoint takes the mesh's mutual TLS
	Resolution Resolution
	Endpoints  []Workload // sorted
	Selector   Labels     // of the workloads that serve; none: Endpoints do
	ExportTo   Visibility

	SubjectAltNames []string // that the servers' certificates have, sorted
}

// Allocated is the addresses that hosts of a ServiceEntry got from the mesh, as its
// status has them, sorted by host and address.
type Allocated struct {
	Addresses []HostAddress
}

// HostAddress is an address of a host.
type HostAddress struct {
	Host string
	Addr netip.Addr
}

// Compare orders by host, then address.
func (a HostAddress) Compare(b HostAddress) int {
	return cmp.Or(strings.Compare(a.Host, b.Host), a.Addr.Compare(b.Addr))
}

// Entry is what a port of a host takes from its ServiceEntry.
type Entry struct {
	Key             ConfigKey
	Resolution      Resolution
	External        bool
	SubjectAltNames []string
}

// Resolution is how a proxy finds the servers of a host.
type Resolution uint8

// The resolutions.
const (
	ResolveNone       Resolution = iota // they are where the application called
	ResolveStatic                       // at addresses that are known
	ResolveDNS                          // at all addresses of names
	ResolveDNSLogical                   // at the address that DNS answers first
	ResolveDynamic                      // at the address of the name that each client asks for
)

// Workload is one endpoint that is no pod.
type Workload struct {
	Origin   Origin     // of the object that it is a part of
	Addr     netip.Addr // not valid: Name is resolved by the proxy
	Name     string
	Ports    []SlicePort // in place of the targets of the host's ports; sorted by name
	Labels   Labels
	Network  string
	Locality Locality
	Weight   uint32 // 0: 1

	ServiceAccount string
	Meshed         bool // has a proxy that terminates mutual TLS
	Probed         bool // serves only while it is known to be healthy
}

// WorkloadHealth is what the status of a WorkloadEntry says of its health, apart from
// the rest of it: it comes and goes, and nothing else changes.
type WorkloadHealth struct {
	Healthy bool
}
