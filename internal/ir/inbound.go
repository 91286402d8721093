// SPDX-License-Identifier: Apache-2.0

package ir

// Inbound is what a workload accepts.
type Inbound struct {
	Class         string
	TrustDomain   string
	Ports         []InboundPort // sorted by port
	Default       MTLSMode      // of all other ports; never unset
	AccessLogFile string
	Paths         PathNormalization
	Origins       []Origin // policies that shaped it, sorted
}

// InboundPort is a port that a Service names or a policy singles out.
type InboundPort struct {
	Port     uint16
	Protocol Protocol
	Mode     MTLSMode // never unset
}

// GatewayListener is a port that a gateway listens on.
type GatewayListener struct {
	Port          uint16
	Chains        []GatewayChain // sorted by first server name; one chain without TLS at most
	AccessLogFile string
	Paths         PathNormalization
	Edge          EdgeTopology
}

// GatewayChain is the TLS settings and routes of some server names.
type GatewayChain struct {
	ServerNames []string // sorted; empty: any
	TLS         *ChainTLS
	RouteConfig string
	Origin      Origin
}
