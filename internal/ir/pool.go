// SPDX-License-Identifier: Apache-2.0

package ir

import "time"

// Never is the value of a timeout that is switched off.
const Never time.Duration = -1

// ConnectionPool bounds the connections and requests from one proxy to a host. A
// number of 0 is no limit, a duration of 0 the proxy's default.
type ConnectionPool struct {
	MaxConnections        uint32
	ConnectTimeout        time.Duration
	Keepalive             *Keepalive
	MaxConnectionDuration time.Duration
	IdleTimeout           time.Duration // of a TCP connection, and of HTTP without one of its own; Never

	MaxPendingRequests       uint32
	MaxRequests              uint32
	MaxRequestsPerConnection uint32
	MaxRetries               uint32 // 0: a budget
	HTTPIdleTimeout          time.Duration
	MaxConcurrentStreams     uint32
	Upgrade                  bool // HTTP/2 whatever the port declares
	AsDeclared               bool // what the port declares, whatever the mesh's default is
	ClientProtocol           bool // the version of HTTP that the client speaks
	Ping                     *Ping
}

// Keepalive is TCP keep-alive; 0 is what the operating system does.
type Keepalive struct {
	Probes   uint32
	Time     time.Duration // whole seconds
	Interval time.Duration // whole seconds
}

// Ping is HTTP/2 keep-alive.
type Ping struct {
	Interval time.Duration
	Timeout  time.Duration
}
