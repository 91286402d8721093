// SPDX-License-Identifier: Apache-2.0

package ir

// TrafficPolicy is how clients reach a host; a DestinationRule projects into it.
type TrafficPolicy struct {
	Origin   Origin
	Created  int64
	Host     string // fully qualified or "*.SUFFIX"
	ExportTo Visibility
	Settings PolicySettings
	Ports    []PortPolicy // sorted by port; each replaces Settings as a whole
	Subsets  []Subset     // sorted by name
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

// PolicySettings is what a client needs to build a cluster.
type PolicySettings struct {
	LoadBalancer LoadBalancer
	TLS          *ClientTLS // nil: mutual TLS where the endpoint has it
}

// For merges the settings that hold for a port and subset: subset before policy,
// port before top level, each of the two fields on its own.
func (p *TrafficPolicy) For(port uint16, subset string) PolicySettings {
	out := pick(p.Settings, p.Ports, port)
	for i := range p.Subsets {
		s := &p.Subsets[i]
		if s.Name != subset || subset == "" {
			continue
		}
		base := out
		if s.Settings != nil {
			base = merge(out, *s.Settings)
		}
		for _, pp := range s.Ports {
			if pp.Port == port {
				base = merge(out, pp.Settings)
			}
		}
		return base
	}
	return out
}

func pick(top PolicySettings, ports []PortPolicy, port uint16) PolicySettings {
	for _, pp := range ports {
		if pp.Port == port {
			return pp.Settings
		}
	}
	return top
}

func merge(base, over PolicySettings) PolicySettings {
	if over.LoadBalancer != (LoadBalancer{}) {
		base.LoadBalancer = over.LoadBalancer
	}
	if over.TLS != nil {
		base.TLS = over.TLS
	}
	return base
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
	CACertificates     string // file in the proxy
	ClientCertificate  string // file in the proxy
	PrivateKey         string // file in the proxy
}
