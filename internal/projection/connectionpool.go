// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/meshwright/meshwright/internal/ir"
)

// maxRequestsPerConnection is the most that the API and Envoy take.
const maxRequestsPerConnection = 1 << 29

// The most that Linux takes; a proxy cannot connect with more. See tcp(7).
const (
	maxKeepaliveProbes = 127
	maxKeepaliveTime   = 32767 * time.Second
)

// connectionPool projects the limits of a host. A limit in error is left out, the
// others stay in effect. See
// https://istio.io/latest/docs/reference/config/networking/destination-rule/#ConnectionPoolSettings.
func (d *destinationRule) connectionPool(at path, in *networking.ConnectionPoolSettings) *ir.ConnectionPool {
	if in == nil {
		return nil
	}
	if in.Tcp == nil && in.Http == nil {
		d.notes.invalid(at, "needs at least one of tcp and http")
		return nil
	}
	out := &ir.ConnectionPool{}
	if tcp := in.Tcp; tcp != nil {
		here := at.field("tcp")
		out.MaxConnections = d.limit(here.field("maxConnections"), tcp.MaxConnections)
		out.ConnectTimeout = d.timeout(here.field("connectTimeout"), tcp.ConnectTimeout)
		out.MaxConnectionDuration = d.timeout(here.field("maxConnectionDuration"), tcp.MaxConnectionDuration)
		out.IdleTimeout = d.idleTimeout(here.field("idleTimeout"), tcp.IdleTimeout)
		out.Keepalive = d.keepalive(here.field("tcpKeepalive"), tcp.TcpKeepalive)
	}
	if in.Http != nil {
		d.httpPool(out, at.field("http"), in.Http)
	}
	return out
}

func (d *destinationRule) httpPool(out *ir.ConnectionPool, at path, in *networking.ConnectionPoolSettings_HTTPSettings) {
	out.MaxPendingRequests = d.limit(at.field("http1MaxPendingRequests"), in.Http1MaxPendingRequests)
	out.MaxRequests = d.limit(at.field("http2MaxRequests"), in.Http2MaxRequests)
	out.MaxRequestsPerConnection = d.limit(at.field("maxRequestsPerConnection"), in.MaxRequestsPerConnection)
	if out.MaxRequestsPerConnection > maxRequestsPerConnection {
		d.notes.invalid(at.field("maxRequestsPerConnection"), "%d must be at most %d", in.MaxRequestsPerConnection, maxRequestsPerConnection)
		out.MaxRequestsPerConnection = 0
	}
	out.MaxRetries = d.limit(at.field("maxRetries"), in.MaxRetries)
	out.HTTPIdleTimeout = d.timeout(at.field("idleTimeout"), in.IdleTimeout)
	out.MaxConcurrentStreams = d.limit(at.field("maxConcurrentStreams"), in.MaxConcurrentStreams)
	out.ClientProtocol = in.UseClientProtocol
	switch in.H2UpgradePolicy {
	case networking.ConnectionPoolSettings_HTTPSettings_DEFAULT:
	case networking.ConnectionPoolSettings_HTTPSettings_DO_NOT_UPGRADE:
		out.AsDeclared = true
	case networking.ConnectionPoolSettings_HTTPSettings_UPGRADE:
		if in.UseClientProtocol {
			d.notes.invalid(at.field("useClientProtocol"), "contradicts h2UpgradePolicy UPGRADE; remove one of them")
		} else {
			out.Upgrade = true
		}
	default:
		d.notes.invalid(at.field("h2UpgradePolicy"), "%d is no upgrade policy", in.H2UpgradePolicy)
	}
	if ping := in.Http2KeepAlive; ping != nil {
		d.ping(out, at.field("http2KeepAlive"), ping)
	}
}

func (d *destinationRule) ping(out *ir.ConnectionPool, at path, in *networking.ConnectionPoolSettings_HTTPSettings_ConnectionKeepalive) {
	if in.Interval == nil || in.Timeout == nil {
		d.notes.invalid(at, "needs both interval and timeout")
		return
	}
	ping := ir.Ping{
		Interval: d.timeout(at.field("interval"), in.Interval),
		Timeout:  d.timeout(at.field("timeout"), in.Timeout),
	}
	if ping.Interval > 0 && ping.Timeout > 0 {
		out.Ping = &ping
	}
}

func (d *destinationRule) keepalive(at path, in *networking.ConnectionPoolSettings_TCPSettings_TcpKeepalive) *ir.Keepalive {
	if in == nil {
		return nil
	}
	probes := in.Probes
	if probes > maxKeepaliveProbes {
		d.notes.invalid(at.field("probes"), "%d must be at most %d", probes, maxKeepaliveProbes)
		probes = 0
	}
	return &ir.Keepalive{
		Probes:   probes,
		Time:     d.seconds(at.field("time"), in.Time),
		Interval: d.seconds(at.field("interval"), in.Interval),
	}
}

// seconds reads an optional duration of whole seconds: sockets know nothing finer.
func (d *destinationRule) seconds(at path, in *durationpb.Duration) time.Duration {
	out := d.timeout(at, in)
	if out%time.Second != 0 || out > maxKeepaliveTime {
		d.notes.invalid(at, "%v must be whole seconds, at most %v", out, maxKeepaliveTime)
		return 0
	}
	return out
}

// limit reads a number of which 0 is no limit.
func (d *destinationRule) limit(at path, in int32) uint32 {
	if in < 0 {
		d.notes.invalid(at, "%d must not be negative", in)
		return 0
	}
	return uint32(in)
}

// timeout reads an optional duration; 0 when there is none.
func (d *destinationRule) timeout(at path, in *durationpb.Duration) time.Duration {
	if in == nil {
		return 0
	}
	out, err := duration(in)
	if err != nil {
		d.notes.invalid(at, "%v", err)
		return 0
	}
	return out
}

// idleTimeout reads an optional duration that 0s switches off.
func (d *destinationRule) idleTimeout(at path, in *durationpb.Duration) time.Duration {
	if in != nil && in.CheckValid() == nil && in.AsDuration() == 0 {
		return ir.Never
	}
	return d.timeout(at, in)
}
