// SPDX-License-Identifier: Apache-2.0

package ir

import (
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// Host is a name that the mesh can be asked for, as some namespaces see it, merged
// over the clusters that have it.
type Host struct {
	Name      string
	Namespace string
	Origin    Origin
	Created   int64
	VIPs      []netip.Addr   // sorted
	Ranges    []netip.Prefix // whose addresses are all of the host; sorted
	Allocated bool           // the VIPs are the mesh's own: only its answers to DNS questions have them
	Headless  bool
	IPv6First bool      // servers of both families are called by IPv6
	Near      *Nearness // nil: nothing is preferred, unless policies say so
	Sticky    bool      // clients stay with an endpoint until it is gone
	Alias     string    // a name of DNS: a Service of type ExternalName
	Of        string    // the host of the mesh whose servers answer, if it is another
	Ports     []ServicePort

	SubjectAltNames []string // that ServiceEntries add to a Kubernetes Service, sorted
}

// Port finds a port by number.
func (h *Host) Port(number uint16) (ServicePort, bool) {
	for _, p := range h.Ports {
		if p.Port == number {
			return p, true
		}
	}
	return ServicePort{}, false
}

// Discovery is how a cluster learns its endpoints.
type Discovery uint8

// The ways.
const (
	DiscoverEDS         Discovery = iota // the control plane says
	DiscoverOriginalDst                  // the address that the application dialled
	DiscoverDNS                          // the name of Alias, or those of Endpoints, are resolved by the proxy
	DiscoverDNSLogical                   // as DiscoverDNS, by the first address of the answer
	DiscoverPod                          // the address that the application dialled, which is that of a pod
	DiscoverDynamic                      // the name that a client asks for is resolved by the proxy
)

// OutboundCluster is everything a client's cluster depends on.
type OutboundCluster struct {
	Key         ClusterKey
	Auto        bool // for connections that come with the server name of the key, as they are
	Discovery   Discovery
	Alias       string // with DiscoverDNS
	Of          string // the host whose servers answer, if it is another
	PodPort     uint16 // with DiscoverPod and DiscoverOriginalDst: of every server; 0: the port that was dialled
	Protocol    Protocol
	Detected    bool // the server's protocol is not known; it goes by the name that a client of its kind offers
	Settings    PolicySettings
	Defaults    ClientDefaults // but for Retry, which is of routes
	Identities  []string       // SPIFFE ids that may answer, sorted; empty: any of the trust domain
	TrustDomain string
	KeepCase    bool // of the names of headers
	Sticky      bool // requests may name their endpoint, even one that is going away
	Weighted    bool // localities have shares of the requests
	Zones       *Zones
	Origins     []Origin
	External    bool        // no endpoint takes the mesh's mutual TLS, unless Settings say so
	Endpoints   *Assignment // with DiscoverDNS

	SubjectAltNames []string // one of which the server's certificate has, where Settings name none

	Secrets *ClientSecrets // that Settings.TLS names; nil: it names none, or the proxy may not have them
}

// ClientSecrets is what a client of TLS asks for over its discovery.
type ClientSecrets struct {
	Certificate SecretKey // zero: it has none
	CA          SecretKey // zero: servers are not checked
	Missing     bool      // not all of it is there: nothing may be sent
}

// All is the keys that are there to be asked for.
func (s *ClientSecrets) All() []SecretKey {
	var out []SecretKey
	for _, k := range []SecretKey{s.Certificate, s.CA} {
		if !k.IsZero() && !s.Missing {
			out = append(out, k)
		}
	}
	return out
}

// VirtualHost is a host of a route configuration with its rules in order.
type VirtualHost struct {
	Key         VirtualHostKey
	Port        uint16   // of the host, as users see it; 0 at gateways
	Domains     []string // sorted, unique within the route configuration
	Rules       []ResolvedRule
	RedirectTLS bool   // every request is sent to https
	Covered     bool   // a pattern has requests for some of its names where the host itself is not held
	Alone       bool   // the only one of its route configuration, which need not ask for it
	Retry       *Retry // of rules that say nothing
	NoAttempts  bool   // as Dialect says
	TellHost    bool   // as Dialect says
	Origins     []Origin
}

// Clusters is the names of the clusters that the rules send requests to, sorted.
func (h *VirtualHost) Clusters() []string {
	var out []string
	for i := range h.Rules {
		for _, t := range h.Rules[i].Targets {
			out = append(out, t.Cluster.Name())
		}
		for _, x := range h.Rules[i].Copies {
			out = append(out, x.Cluster.Name())
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// ResolvedRule is a rule whose destinations are clusters.
type ResolvedRule struct {
	Origin  Origin
	Name    string
	Matches []Match
	Targets []Target
	Copies  []Copy
	Direct  *Direct

	Redirect *Redirect // its port is decided
	Timeout  int64     // nanoseconds; 0: none
	Retry    *Retry
	Session  *Session // of the first destination that has one
	Handling
}

// Copy is a cluster that gets copies of a part of the requests.
type Copy struct {
	Cluster ClusterKey
	Percent Percent
}

// Target is one weighted cluster.
type Target struct {
	Cluster ClusterKey
	Weight  uint32
	Hash    LoadBalancer // consistent hashing only: what is hashed

	Headers   *Headers
	Authority string

	// Dynamic is the port at which the name that the client asks for is called, where the
	// proxy resolves it; 0: the cluster has servers of its own.
	Dynamic uint16
}

// RouteConfig is a route configuration whose hosts are resources of their own.
type RouteConfig struct {
	Name    string
	Port    uint16  // that clients dialled; 0 at a gateway
	Unknown Unknown // what becomes of requests to hosts that nobody knows; at a gateway they have none
	HTTP3   uint16  // port at which clients are told to speak HTTP/3; 0: none
}

// TCPOutbound is one address and port that is carried as bytes.
type TCPOutbound struct {
	Host          string // whose address it is
	Addr          netip.AddrPort
	Chains        []StreamChain     // no two take the same connections
	RouteConfig   string            // of connections that begin with HTTP; empty: all are bytes
	Detection     time.Duration     // with RouteConfig
	Paths         PathNormalization // with RouteConfig
	Dialect       Dialect           // with RouteConfig
	AccessLogFile string

	// OnDemand tells that all connections go to the cluster of the host's port, so that
	// a proxy that asks needs no listener for the address: it asks for the address.
	OnDemand bool
}

// Clusters is the names of the clusters that connections go to, sorted.
func (t *TCPOutbound) Clusters() []string {
	var out []string
	for i := range t.Chains {
		for _, to := range t.Chains[i].Targets {
			out = append(out, to.Cluster.Name())
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Stream is how bytes are carried.
type Stream struct {
	IdleTimeout time.Duration // 0: the proxy's default; Never
	MaxDuration time.Duration // 0: no limit
	Tunnel      Tunnel
}

// Tunnel carries bytes in a request to a server that passes them on.
type Tunnel struct {
	Target string // HOST:PORT; empty: no tunnel
	Post   bool   // with POST in place of CONNECT
}

// ListenerName is ADDRESS_PORT.
func (t *TCPOutbound) ListenerName() string {
	return t.Addr.Addr().String() + "_" + strconv.Itoa(int(t.Addr.Port()))
}

// PortOutbound is the listener of a port: of all hosts that are told apart by their
// names, and of the pods of all headless hosts.
type PortOutbound struct {
	Port          uint16
	HTTP          bool           // some host speaks HTTP
	Pods          bool           // some headless host has pods there
	Bytes         bool           // some headless host carries bytes there
	Streams       []StreamChain  // of hosts that have a part of it
	Ranges        []netip.Prefix // as OutboundCapture.Ranges
	Unknown       Unknown        // what becomes of what goes to addresses that nobody knows
	Detection     time.Duration
	AccessLogFile string
	Paths         PathNormalization
	Dialect       Dialect
}

// TakesBytes tells whether bytes that are no TLS and no requests are for some host.
func (p *PortOutbound) TakesBytes() bool {
	return p.Bytes || slices.ContainsFunc(p.Streams, func(c StreamChain) bool { return len(c.ServerNames) == 0 })
}

// PodPort is all pods of headless hosts that serve on a port, by their addresses.
type PodPort struct {
	Port  uint16
	Hosts []PodHost // sorted by cluster
}

// PodHost is the pods of a headless host that serve on a port. A pod of several
// hosts belongs to the first.
type PodHost struct {
	Cluster ClusterKey
	Pods    []netip.Addr // sorted
	Meshed  []netip.Addr // those that take mutual TLS, sorted
}

// OutboundCapture is the listener that gets everything an application sends.
type OutboundCapture struct {
	Ranges        []netip.Prefix // the addresses of which proxies ask whose they are; sorted
	Unknown       Unknown
	AccessLogFile string
}
