// SPDX-License-Identifier: Apache-2.0

package ir

import (
	"iter"
	"slices"
	"strings"
	"time"
)

// TrafficPolicy is how clients reach a host; a DestinationRule projects into it.
type TrafficPolicy struct {
	Origin   Origin
	Created  int64
	Host     string // fully qualified or "*.SUFFIX"
	Selector Labels // of the workloads of its namespace that it is for; empty: all clients
	ExportTo Visibility
	Settings PolicySettings
	Ports    []PortPolicy // sorted by port; each replaces Settings as a whole
	Subsets  []Subset     // sorted by name
}

// Shapes tells whether the policy says anything of the host as a whole.
func (p *TrafficPolicy) Shapes() bool { return p.Settings != (PolicySettings{}) || len(p.Ports) > 0 }

// Subset finds a subset by name.
func (p *TrafficPolicy) Subset(name string) (*Subset, bool) {
	for i := range p.Subsets {
		if p.Subsets[i].Name == name {
			return &p.Subsets[i], true
		}
	}
	return nil, false
}

// AllSettings is the settings of all levels.
func (p *TrafficPolicy) AllSettings() iter.Seq[*PolicySettings] {
	return func(yield func(*PolicySettings) bool) {
		ports := func(ports []PortPolicy) bool {
			for i := range ports {
				if !yield(&ports[i].Settings) {
					return false
				}
			}
			return true
		}
		if !yield(&p.Settings) || !ports(p.Ports) {
			return
		}
		for i := range p.Subsets {
			s := &p.Subsets[i]
			if s.Settings != nil && !yield(s.Settings) || !ports(s.Ports) {
				return
			}
		}
	}
}

// Merged is the policy that several for one host make, the one that decides first:
// the host as a whole has the settings of the first that has any, and a subset is
// that of the first that has one of its name.
func Merged(all []*TrafficPolicy) *TrafficPolicy {
	if len(all) == 0 {
		return nil
	}
	if len(all) == 1 {
		return all[0]
	}
	out := *all[0]
	out.Subsets = slices.Clone(out.Subsets)
	for _, p := range all[1:] {
		if !out.Shapes() {
			out.Settings, out.Ports = p.Settings, p.Ports
		}
		for i := range p.Subsets {
			if _, known := out.Subset(p.Subsets[i].Name); !known {
				out.Subsets = append(out.Subsets, p.Subsets[i])
			}
		}
	}
	slices.SortFunc(out.Subsets, func(a, b Subset) int { return strings.Compare(a.Name, b.Name) })
	return &out
}

// PortPolicy is the settings of one port.
type PortPolicy struct {
	Port     uint16
	Settings PolicySettings
}

// Subset is a named part of a host's endpoints.
type Subset struct {
	Name     string
	Labels   Labels
	Settings *PolicySettings // nil: those of the policy
	Ports    []PortPolicy
}

// PolicySettings is what a client needs to build a cluster. The first four fields
// can also be set for one port.
type PolicySettings struct {
	LoadBalancer LoadBalancer
	TLS          *ClientTLS        // nil: mutual TLS where the endpoint has it
	Pool         *ConnectionPool   // nil: no limits
	Outliers     *OutlierDetection // nil: no endpoint is ejected

	Tunnel        *Tunnel // of TCP ports
	ProxyProtocol ProxyProtocol
	RetryBudget   *RetryBudget // nil: that of Pool, else the control plane's own
}

// For is the settings that hold for a port and subset. What a subset sets comes
// before what the policy sets, field by field. The settings of a port inherit
// nothing: fields that they leave out have their defaults. See
// https://istio.io/latest/docs/reference/config/networking/destination-rule/#TrafficPolicy-PortTrafficPolicy.
func (p *TrafficPolicy) For(port uint16, subset string) PolicySettings {
	out := p.Settings.at(p.Ports, port)
	for i := range p.Subsets {
		s := &p.Subsets[i]
		if s.Name != subset || subset == "" {
			continue
		}
		if s.Settings != nil {
			out = s.Settings.over(out)
		}
		return out.at(s.Ports, port)
	}
	return out
}

// at is the settings with what is set for a port in place of what can be.
func (s PolicySettings) at(ports []PortPolicy, port uint16) PolicySettings {
	for i := range ports {
		if ports[i].Port == port {
			own := ports[i].Settings
			s.LoadBalancer, s.TLS, s.Pool, s.Outliers = own.LoadBalancer, own.TLS, own.Pool, own.Outliers
			return s
		}
	}
	return s
}

// Stream is what the settings say of a TCP port's listener.
func (s PolicySettings) Stream() Stream {
	out := Stream{}
	if s.Tunnel != nil {
		out.Tunnel = *s.Tunnel
	}
	if s.Pool != nil {
		out.IdleTimeout, out.MaxDuration = s.Pool.IdleTimeout, s.Pool.MaxConnectionDuration
	}
	return out
}

// over is the settings with what they leave out taken from others.
func (s PolicySettings) over(base PolicySettings) PolicySettings {
	if s.LoadBalancer == (LoadBalancer{}) {
		s.LoadBalancer = base.LoadBalancer
	}
	if s.TLS == nil {
		s.TLS = base.TLS
	}
	if s.Pool == nil {
		s.Pool = base.Pool
	}
	if s.Outliers == nil {
		s.Outliers = base.Outliers
	}
	if s.ProxyProtocol == ProxyProtocolNone {
		s.ProxyProtocol = base.ProxyProtocol
	}
	if s.Tunnel == nil {
		s.Tunnel = base.Tunnel
	}
	if s.RetryBudget == nil {
		s.RetryBudget = base.RetryBudget
	}
	return s
}

// Balance is a load-balancing algorithm.
type Balance uint8

// The algorithms. BalanceDefault is least request.
const (
	BalanceDefault Balance = iota
	BalanceLeastRequest
	BalanceRoundRobin
	BalanceRandom
	BalancePassthrough
	BalanceHashHeader // consistent, ring hash
	BalanceHashCookie
	BalanceHashSourceIP
	BalanceHashQuery
)

// LoadBalancer chooses an endpoint.
type LoadBalancer struct {
	Balance  Balance
	HashKey  string // header, cookie or query parameter
	HashTTL  int64  // cookie's life in nanoseconds; 0: session cookie; -1: never set one
	HashPath string // cookie's path

	Near       *Nearness // nil: what the host or the mesh says
	NotByZones bool      // whatever the mesh says

	Maglev    bool   // a hash table of Maglev, not a ring
	TableSize uint64 // of Maglev, or the least of the ring; 0: the proxy's default

	// Only round robin and least request give a new endpoint its share little by little.
	Warmup           time.Duration // 0: at once
	WarmupPercent    float64       // of its share at the beginning
	WarmupAggression float64       // 1: linear; more is steeper at the end
}

// Hash is what of a load balancer concerns routes: how a request is hashed.
func (l LoadBalancer) Hash() LoadBalancer {
	return LoadBalancer{Balance: l.Balance, HashKey: l.HashKey, HashTTL: l.HashTTL, HashPath: l.HashPath}
}

// ProxyProtocol is the version of the PROXY header before the bytes of a connection.
// See https://www.haproxy.org/download/2.1/doc/proxy-protocol.txt.
type ProxyProtocol uint8

// The versions.
const (
	ProxyProtocolNone ProxyProtocol = iota
	ProxyProtocolV1
	ProxyProtocolV2
)

// RetryBudget bounds the retries that are under way at one time by the requests that are.
type RetryBudget struct {
	Percent        float64
	MinConcurrency uint32        // retries that are always allowed
	Interval       time.Duration // requests of how long ago count too
}

// TLSMode is how a client connects.
type TLSMode uint8

// The client modes.
const (
	TLSDisable TLSMode = iota
	TLSSimple          // server authentication only
	TLSMutual          // own certificate files; not the mesh's
	TLSMesh            // the mesh's certificates, always
)

// ClientTLS is a client's TLS settings.
type ClientTLS struct {
	Mode               TLSMode
	SNI                string
	SubjectAltNames    []string
	InsecureSkipVerify bool
	CACertificates     string // file in the proxy; empty: the system's
	CRL                string // file in the proxy
	ClientCertificate  string // file in the proxy
	PrivateKey         string // file in the proxy
	Credential         string // Secret in the namespace of the proxy, in place of the files
}

// HasNames tells whether it is said which names a server has, or that none counts.
func (t *ClientTLS) HasNames() bool {
	return t.SNI != "" || len(t.SubjectAltNames) > 0 || t.InsecureSkipVerify
}
