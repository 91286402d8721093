// SPDX-License-Identifier: Apache-2.0

package ir

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Sidecar is what users say of the sidecars of workloads.
type Sidecar struct {
	Origin   Origin
	Created  int64
	Selector Labels // empty: the whole namespace (in the root namespace: the mesh)

	Listing // of what the sidecars are told

	Unknown *Unknown // nil: as the mesh's settings say

	Egress []EgressPort // sorted by where they are

	ListsIngress bool          // only the ports of Ingress are served as more than bytes
	Ingress      []IngressPort // sorted by port
	Pool         *ConnectionPool
}

// IngressPort is a port at which sidecars accept connections as a Sidecar says.
type IngressPort struct {
	Port     uint16
	Protocol Protocol
	Listen   netip.Addr // where the sidecar listens itself; :: is IPv4, too; not valid: nowhere
	To       LocalEndpoint
	TLS      *ServerTLS      // ends here, where the mesh's mutual TLS is off
	Pool     *ConnectionPool // nil: that of the Sidecar
	Section  string
}

// EgressPort is where sidecars listen themselves for what applications send them on
// purpose, to hosts at a port.
type EgressPort struct {
	Port    uint16     // of the hosts
	Listen  netip.Addr // with that port
	Socket  string     // path of a Unix socket, or its name after "@"; in place of Listen
	HTTP    bool       // requests, for the host that each names; else bytes, for the one host
	Hosts   []HostPattern
	Section string
}

// At is where the sidecar listens, as ADDRESS|PORT or the socket.
func (p *EgressPort) At() string {
	if p.Socket != "" {
		return p.Socket
	}
	return p.Listen.String() + "|" + strconv.Itoa(int(p.Port))
}

// LocalEndpoint is where a sidecar finds its application. The zero value is the address
// and port that were called.
type LocalEndpoint struct {
	Addr   netip.Addr // a loopback address; not valid: the address that was called
	Port   uint16     // 0: the port that was called
	Socket string     // path of a Unix socket, or its name after "@"; in place of both
}

// IsCalled tells whether the application is at the address that was called.
func (e LocalEndpoint) IsCalled() bool { return e.Socket == "" && !e.Addr.IsValid() }

// Listing is hosts, at all of their ports but those of Ports; of those, only the hosts
// that are listed there. What Excludes has is nowhere.
type Listing struct {
	HostList
	Ports    []PortHosts // sorted by port
	Excludes []HostPattern
}

// Narrows tells whether there are hosts that are not listed.
func (l *Listing) Narrows() bool { return !l.All || len(l.Ports) > 0 || len(l.Excludes) > 0 }

// In is the listing as a sidecar of a namespace reads it.
func (l *Listing) In(namespace, domain string) *Listing {
	read := func(in []HostPattern) []HostPattern {
		out := make([]HostPattern, 0, len(in))
		for _, p := range in {
			out = append(out, p.In(namespace, domain))
		}
		return out
	}
	out := &Listing{HostList: HostList{l.All, read(l.Imports)}, Excludes: read(l.Excludes)}
	for _, p := range l.Ports {
		out.Ports = append(out.Ports, PortHosts{p.Port, HostList{p.All, read(p.Imports)}})
	}
	return out
}

// At is what is listed at a port.
func (l *Listing) At(port uint16) *HostList {
	for i := range l.Ports {
		if l.Ports[i].Port == port {
			return &l.Ports[i].HostList
		}
	}
	return &l.HostList
}

// Tells tells whether a host of a namespace is listed at a port.
func (l *Listing) Tells(namespace, host string, port uint16) bool {
	covers := func(p HostPattern) bool { return p.Covers(namespace, host) }
	at := l.At(port)
	return (at.All || slices.ContainsFunc(at.Imports, covers)) && !slices.ContainsFunc(l.Excludes, covers)
}

// Selects tells whether routes of a namespace, for some hosts, count at a port: one of
// the hosts is listed with that namespace, or some that it has in common with a pattern.
func (l *Listing) Selects(namespace string, hosts []string, port uint16) bool {
	at := l.At(port)
	return slices.ContainsFunc(hosts, func(host string) bool {
		if slices.ContainsFunc(l.Excludes, func(p HostPattern) bool { return p.Covers(namespace, host) }) {
			return false
		}
		return at.All || slices.ContainsFunc(at.Imports, func(p HostPattern) bool { return p.meets(namespace, host) })
	})
}

// HostList is hosts that a Sidecar lists.
type HostList struct {
	All     bool // every host, else those of Imports
	Imports []HostPattern
}

// PortHosts is the hosts that a Sidecar lists for a port.
type PortHosts struct {
	Port uint16
	HostList
}

// HostPattern is hosts of a namespace, or of all.
type HostPattern struct {
	Namespace string // empty: any; OwnNamespace: that of the sidecar
	Host      string // a name, "*.SUFFIX" or "*"; in the own namespace also that of a Service
}

// OwnNamespace stands for the namespace of who reads a pattern.
const OwnNamespace = "."

// In is the pattern as a sidecar of a namespace reads it.
func (p HostPattern) In(namespace, domain string) HostPattern {
	if p.Namespace == OwnNamespace {
		p.Namespace = namespace
		if !strings.ContainsAny(p.Host, ".*:") {
			p.Host += "." + namespace + ".svc." + domain
		}
	}
	return p
}

// Covers tells whether a host of a namespace is among them.
func (p HostPattern) Covers(namespace, host string) bool {
	if p.Namespace != "" && p.Namespace != namespace {
		return false
	}
	if suffix, ok := strings.CutPrefix(p.Host, "*"); ok {
		return strings.HasSuffix(host, suffix)
	}
	return p.Host == host
}

// meets tells whether a host of a namespace, which may be a pattern itself, has anything
// in common with them.
func (p HostPattern) meets(namespace, host string) bool {
	if p.Covers(namespace, host) {
		return true
	}
	return strings.HasPrefix(host, "*") && HostPattern{p.Namespace, host}.Covers(namespace, p.Host)
}

// Compare orders by namespace, then host.
func (p HostPattern) Compare(o HostPattern) int {
	return cmp.Or(strings.Compare(p.Namespace, o.Namespace), strings.Compare(p.Host, o.Host))
}
