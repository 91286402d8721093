// SPDX-License-Identifier: Apache-2.0

package ir

import (
	"iter"
	"net/netip"
	"slices"
	"strconv"
)

// Inbound is what a workload accepts.
type Inbound struct {
	Class         string
	TrustDomain   string
	Ports         []InboundPort // sorted by port
	Default       MTLSMode      // of all other ports; never unset
	AccessLogFile string
	Paths         PathNormalization
	Dialect       Dialect
	Tokens        bool     // are looked at; which ones is no matter of the listener
	IPv6          bool     // comes by IPv6, too
	Origins       []Origin // policies that shaped it, sorted
}

// InboundPort is a port that a Service or a Sidecar names, or a policy singles out.
type InboundPort struct {
	Port     uint16
	Protocol Protocol   // of what is inside of TLS
	Mode     MTLSMode   // never unset
	Listen   netip.Addr // where the proxy listens itself, beside what is captured; :: is IPv4, too; not valid: nowhere
	To       LocalEndpoint
	TLS      *ChainTLS // that ends at the proxy; with MTLSDisable only
	Pool     *ConnectionPool
}

// Secrets is what TLS that ends at the proxy needs, sorted, each once.
func (in *Inbound) Secrets() []SecretKey {
	var out []SecretKey
	for i := range in.Ports {
		if t := in.Ports[i].TLS; t != nil {
			out = append(out, t.Secrets()...)
		}
	}
	slices.SortFunc(out, SecretKey.Compare)
	return slices.Compact(out)
}

// GatewayListener is a port that a gateway listens on.
type GatewayListener struct {
	Port          uint16
	Bind          Bind
	IPv6          bool           // of the pods, which have addresses of that family, too
	Chains        []GatewayChain // of requests; one without TLS at most
	Streams       []StreamChain  // of bytes
	HTTP3         HTTP3Port
	AccessLogFile string
	Paths         PathNormalization
	Tokens        bool // as of Inbound
	Edge          EdgeTopology
	Dialect       Dialect
}

// Name is ADDRESS_PORT; that of a socket ends with _0.
func (l *GatewayListener) Name() string { return l.Bind.String() + "_" + strconv.Itoa(int(l.Port)) }

// HTTP3Name is the name of the listener beside it.
func (l *GatewayListener) HTTP3Name() string {
	return l.Bind.String() + "_" + strconv.Itoa(int(l.HTTP3.Port)) + "_http3"
}

// HTTP3Chains is the chains whose requests may come by HTTP/3, too.
func (l *GatewayListener) HTTP3Chains() []GatewayChain {
	var out []GatewayChain
	for i := range l.Chains {
		if t := l.Chains[i].TLS; l.HTTP3.Port != 0 && t != nil && t.Mode.carriesHTTP3(t.MaxVersion) {
			out = append(out, l.Chains[i])
		}
	}
	return out
}

// HTTP3Port is where HTTP/3 is spoken beside HTTPS. The zero value: nowhere.
type HTTP3Port struct {
	Port   uint16 // of UDP, in the pod
	Facing uint16 // as clients see it
}

// HasBothFamilies tells whether it listens on all addresses of IPv6, too.
func (l *GatewayListener) HasBothFamilies() bool { return l.IPv6 && l.Bind == (Bind{}) }

// Terminations is how TLS ends at the chains at which it does, with what they come from.
func (l *GatewayListener) Terminations() iter.Seq2[*ChainTLS, []Origin] {
	return func(yield func(*ChainTLS, []Origin) bool) {
		for i := range l.Chains {
			if t := l.Chains[i].TLS; t != nil && !yield(t, []Origin{l.Chains[i].Origin}) {
				return
			}
		}
		for i := range l.Streams {
			if t := l.Streams[i].TLS; t != nil && !yield(t, l.Streams[i].Origins) {
				return
			}
		}
	}
}

// GatewayChain is the TLS settings and routes of requests to some server names.
type GatewayChain struct {
	ServerNames []string // sorted; empty: any
	TLS         *ChainTLS
	RouteConfig string
	GRPCWeb     bool // makes gRPC of gRPC-Web
	Origin      Origin
}
