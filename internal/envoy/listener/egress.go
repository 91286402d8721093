// SPDX-License-Identifier: Apache-2.0

package listener

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/meshwright/meshwright/internal/envoy/filter"
	"github.com/meshwright/meshwright/internal/envoy/typed"
	"github.com/meshwright/meshwright/internal/ir"
)

// socketMode lets applications connect, which run as another user than the sidecar. Who
// gets to the directory at all is the pod's own business.
const socketMode = 0o666

// Egress is where a sidecar listens itself. Requests find their hosts as they do at the
// port of that number.
func Egress(in *ir.EgressListener) *listenerv3.Listener {
	out := &listenerv3.Listener{
		Name:             in.Name(),
		Address:          typed.Address(in.Listen.String(), in.Port),
		TrafficDirection: corev3.TrafficDirection_OUTBOUND,
	}
	if in.Socket != "" {
		out.Address = socketAddress(in.Socket)
	}
	if in.HTTP {
		out.FilterChains = []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{filter.HTTP{
			StatPrefix: "outbound_" + in.At(), RouteConfig: ir.OutboundRouteName(in.Port), OnDemand: true,
			AccessLogFile: in.AccessLogFile, Paths: in.Paths, Dialect: in.Dialect,
		}.Build()}}}
		return out
	}
	for i := range in.Chains {
		c := &in.Chains[i]
		out.FilterChains = append(out.FilterChains, streamChain(c, filter.Stream(c.Targets, in.AccessLogFile, c.Stream)...))
	}
	if readsNames(in.Chains) {
		inspect(out)
	}
	return out
}

// socketAddress is a Unix socket that applications may connect to.
func socketAddress(socket string) *corev3.Address {
	pipe := &corev3.Pipe{Path: socket, Mode: socketMode}
	if socket[0] == '@' {
		pipe.Mode = 0 // a name has none
	}
	return &corev3.Address{Address: &corev3.Address_Pipe{Pipe: pipe}}
}
