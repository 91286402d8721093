// SPDX-License-Identifier: Apache-2.0

package ir

import "time"

// WorkloadGroup is what machines that register themselves have in common.
type WorkloadGroup struct {
	Origin      Origin
	Template    Workload // without an address
	Annotations Labels   // of the WorkloadEntries
	Probe       *Probe   // nil: machines are healthy as long as they are connected
}

// Probe is how a machine's agent finds out whether the workload is healthy. Exactly
// one of HTTP, TCP, GRPC and Command is set.
type Probe struct {
	HTTP    *HTTPProbe
	TCP     *TCPProbe
	GRPC    *GRPCProbe
	Command []string

	InitialDelay, Timeout, Period time.Duration
	Successes, Failures           uint32 // in a row, until the workload counts as healthy or not
}

// HTTPProbe succeeds with a status from 200 to 399.
type HTTPProbe struct {
	Host    string // empty: the machine's own address
	Port    uint16
	Path    string
	TLS     bool
	Headers []HeaderValue
}

// HeaderValue is one header of a request.
type HeaderValue struct {
	Name, Value string
}

// TCPProbe succeeds when a connection opens.
type TCPProbe struct {
	Host string // empty: the machine itself, at its loopback address
	Port uint16
}

// GRPCProbe succeeds when grpc.health.v1 answers SERVING.
type GRPCProbe struct {
	Port    uint16
	Service string
}
