// SPDX-License-Identifier: Apache-2.0

package ir

import "net/netip"

// Protocol is what a port carries, as far as the proxies care.
type Protocol uint8

// The protocols.
const (
	ProtocolTCP Protocol = iota // bytes
	ProtocolHTTP
	ProtocolHTTP2
	ProtocolGRPC
	ProtocolGRPCWeb // gRPC, for clients that may speak gRPC-Web, too
	ProtocolHTTPS   // TLS of the application, carried as bytes
	ProtocolTLS     // TLS of the application, carried as bytes
	ProtocolUDP     // known, never captured
	ProtocolAuto    // nothing says: HTTP, if a client begins with it, else bytes
)

// IsHTTP tells whether requests are read and routed.
func (p Protocol) IsHTTP() bool {
	return p == ProtocolHTTP || p == ProtocolHTTP2 || p == ProtocolGRPC || p == ProtocolGRPCWeb
}

// MayBeHTTP tells whether requests are read and routed if there are any.
func (p Protocol) MayBeHTTP() bool { return p.IsHTTP() || p == ProtocolAuto }

// IsTLS tells whether TLS of the application is carried.
func (p Protocol) IsTLS() bool { return p == ProtocolHTTPS || p == ProtocolTLS }

// IsHTTP2 tells whether the application speaks HTTP/2 on the port.
func (p Protocol) IsHTTP2() bool {
	return p == ProtocolHTTP2 || p == ProtocolGRPC || p == ProtocolGRPCWeb
}

// Service is a Kubernetes Service of one cluster.
type Service struct {
	Key            ObjectKey
	Host           string // NAME.NAMESPACE.svc.DOMAIN
	VIPs           []netip.Addr
	IPv6First      bool // servers of both families are called by IPv6
	Headless       bool
	ExternalName   string // type ExternalName only
	Ports          []ServicePort
	Selector       Labels        // empty: endpoints are maintained by somebody else
	Created        int64         // seconds since the epoch
	Near           *Nearness     // nil: nothing is preferred
	PublishUnready bool          // publishNotReadyAddresses
	ExportTo       *Visibility   // nil: everybody
	Session        *Session      // nil: each request is balanced by itself
	Outside        []HostAddress // of its load balancer, or externalIPs: names and addresses
}

// ServicePort is one port of a Service.
type ServicePort struct {
	Name     string
	Port     uint16
	Target   uint16 // in the pods; 0: they have a name for it, and may differ
	Protocol Protocol
	Entry    *Entry // what defines it; nil: a Kubernetes Service
}

// EndpointSlice is what the mesh needs of discovery.k8s.io/v1 EndpointSlice.
type EndpointSlice struct {
	Key       ObjectKey
	Service   ObjectKey
	Ports     []SlicePort
	Endpoints []SliceEndpoint // sorted by address
}

// SlicePort joins a Service's port name to a number in the pods.
type SlicePort struct {
	Name string
	Port uint16
}

// SliceEndpoint is one address of a slice.
type SliceEndpoint struct {
	Addr        netip.Addr
	Pod         string // name of the pod in the slice's namespace; empty if it is none
	Node        string
	Ready       bool
	Terminating bool
}

// Pod is what the mesh needs of a pod that has an address.
type Pod struct {
	Key            ObjectKey
	Labels         Labels
	ServiceAccount string
	Node           string
	Meshed         bool // has a proxy that terminates mutual TLS
	Network        string
	Readiness      Readiness
	Addr           netip.Addr // not valid: it has none, or is about to go
	Also           netip.Addr // of the other family; not valid: it has none
}

// Readiness is what a Pod says of itself. A pod that was never said to be ready is
// Unready, as Kubernetes counts it.
type Readiness uint8

// A pod that is Presumed has containers that are ready on a node that has not been
// heard of since.
const (
	Unready Readiness = iota
	Presumed
	Ready
)

// Locality is where a node is. The empty string means unknown.
type Locality struct {
	Region  string
	Zone    string
	SubZone string
}

// Node is what the mesh needs of a node.
type Node struct {
	Key      NodeKey
	Locality Locality
}

// Namespace is what the mesh needs of a namespace.
type Namespace struct {
	Name           string
	Network        string
	DiscoveryScope DiscoveryScope
}
