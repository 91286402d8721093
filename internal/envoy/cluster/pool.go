// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshwright/meshwright/internal/envoy/typed"
	"github.com/meshwright/meshwright/internal/ir"
)

// pool sets the limits of a host's connections and requests.
func pool(c *clusterv3.Cluster, p *ir.ConnectionPool) {
	if p == nil {
		return
	}
	if p.ConnectTimeout > 0 {
		c.ConnectTimeout = durationpb.New(p.ConnectTimeout)
	}
	keepalive(c, p.Keepalive)
	limits := c.CircuitBreakers.Thresholds[0]
	set := func(field **wrapperspb.UInt32Value, limit uint32) {
		if limit > 0 {
			*field = wrapperspb.UInt32(limit)
		}
	}
	set(&limits.MaxConnections, p.MaxConnections)
	set(&limits.MaxPendingRequests, p.MaxPendingRequests)
	set(&limits.MaxRequests, p.MaxRequests)
	if p.MaxRetries > 0 {
		limits.MaxRetries = wrapperspb.UInt32(p.MaxRetries)
		limits.RetryBudget = nil // it would hide the number
	}
}

// keepalive lets connections be probed; nil leaves it as it is.
func keepalive(c *clusterv3.Cluster, k *ir.Keepalive) {
	if k == nil {
		return
	}
	c.UpstreamConnectionOptions = &clusterv3.UpstreamConnectionOptions{TcpKeepalive: &corev3.TcpKeepalive{
		KeepaliveProbes:   positive(k.Probes),
		KeepaliveTime:     positive(uint32(k.Time / time.Second)),
		KeepaliveInterval: positive(uint32(k.Interval / time.Second)),
	}}
}

// retries sets the budget of retries; it comes before a number of them.
func retries(c *clusterv3.Cluster, b *ir.RetryBudget) {
	if b == nil {
		return
	}
	limits := c.CircuitBreakers.Thresholds[0]
	limits.MaxRetries = nil
	limits.RetryBudget = &clusterv3.CircuitBreakers_Thresholds_RetryBudget{
		BudgetPercent:       &typev3.Percent{Value: b.Percent},
		MinRetryConcurrency: wrapperspb.UInt32(b.MinConcurrency),
	}
	if b.Interval > 0 {
		limits.RetryBudget.BudgetInterval = durationpb.New(b.Interval)
	}
}

// speaksHTTP2 tells whether HTTP/2 is spoken whatever the client speaks.
func speaksHTTP2(in *ir.OutboundCluster) bool {
	p := in.Settings.Pool
	switch {
	case !in.Protocol.MayBeHTTP() || p != nil && p.ClientProtocol:
		return false
	case p != nil && p.Upgrade:
		return true
	case in.Defaults.Upgrade && isInside(in) && (p == nil || !p.AsDeclared):
		return true
	}
	return in.Protocol.IsHTTP2()
}

// isInside tells whether a server declares HTTP and is of the mesh, where nobody says
// that it is spoken to by TLS of its own.
func isInside(in *ir.OutboundCluster) bool {
	t := in.Settings.TLS
	return in.Protocol.IsHTTP() && !in.Detected && !in.External && (t == nil || t.Mode == ir.TLSMesh) &&
		(in.Discovery == ir.DiscoverEDS || in.Discovery == ir.DiscoverPod)
}

// outboundOptions is how HTTP is spoken to a host.
func outboundOptions(in *ir.OutboundCluster) map[string]*anypb.Any {
	p := in.Settings.Pool
	if p == nil {
		p = &ir.ConnectionPool{}
	}
	http2 := &corev3.Http2ProtocolOptions{MaxConcurrentStreams: positive(p.MaxConcurrentStreams)}
	if p.Ping != nil {
		http2.ConnectionKeepalive = &corev3.KeepaliveSettings{
			Interval: durationpb.New(p.Ping.Interval),
			Timeout:  durationpb.New(p.Ping.Timeout),
		}
	}
	out := &httpv3.HttpProtocolOptions{
		CommonHttpProtocolOptions: commonOptions(p),
		OutlierDetection:          errorCodes(in.Settings.Outliers),

		UpstreamHttpProtocolOptions: byAuthority(in),
	}
	switch {
	case p.ClientProtocol || in.Protocol == ir.ProtocolAuto && !p.Upgrade:
		out.UpstreamProtocolOptions = clientVersion(http2, in.KeepCase)
	case speaksHTTP2(in):
		out.UpstreamProtocolOptions = explicitVersion(http2, in.KeepCase)
	default:
		out.UpstreamProtocolOptions = explicitVersion(nil, in.KeepCase)
	}
	return map[string]*anypb.Any{httpOptionsName: typed.Config(out)}
}

// byAuthority asks servers of TLS for the name that a request names, and checks them by
// it, where nobody says otherwise.
func byAuthority(in *ir.OutboundCluster) *corev3.UpstreamHttpProtocolOptions {
	t := in.Settings.TLS
	if t == nil || t.Mode != ir.TLSSimple && t.Mode != ir.TLSMutual || t.SNI != "" {
		return nil
	}
	return &corev3.UpstreamHttpProtocolOptions{AutoSni: true, AutoSanValidation: len(in.SubjectAltNames) == 0 && !t.HasNames()}
}

// commonOptions is nil when Envoy's defaults hold.
func commonOptions(p *ir.ConnectionPool) *corev3.HttpProtocolOptions {
	idle := p.HTTPIdleTimeout
	if idle == 0 {
		idle = p.IdleTimeout
	}
	if idle == 0 && p.MaxRequestsPerConnection == 0 && p.MaxConnectionDuration == 0 {
		return nil
	}
	out := &corev3.HttpProtocolOptions{MaxRequestsPerConnection: positive(p.MaxRequestsPerConnection)}
	if idle != 0 {
		out.IdleTimeout = durationpb.New(max(idle, 0)) // Envoy's 0 is ir.Never
	}
	if p.MaxConnectionDuration > 0 {
		out.MaxConnectionDuration = durationpb.New(p.MaxConnectionDuration)
	}
	return out
}

// positive is nil for 0, which leaves a default as it is.
func positive(n uint32) *wrapperspb.UInt32Value {
	if n == 0 {
		return nil
	}
	return wrapperspb.UInt32(n)
}
