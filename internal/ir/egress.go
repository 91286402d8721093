// SPDX-License-Identifier: Apache-2.0

package ir

// EgressListener is where a sidecar listens itself, for applications that call it there.
type EgressListener struct {
	EgressPort
	Chains        []StreamChain     // of bytes
	Paths         PathNormalization // of requests
	Dialect       Dialect           // of requests
	AccessLogFile string
	Origin        Origin
}

// Name is outbound|AT.
func (l *EgressListener) Name() string { return "outbound|" + l.At() }

// Clusters is the names of the clusters that bytes go to, sorted.
func (l *EgressListener) Clusters() []string { return (&TCPOutbound{Chains: l.Chains}).Clusters() }
