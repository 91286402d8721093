// SPDX-License-Identifier: Apache-2.0

package filter

import (
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	namev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_to_metadata/v3"
	setstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_filter_state/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	sniv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/sni_dynamic_forward_proxy/v3"

	"github.com/meshwright/meshwright/internal/envoy/typed"
	"github.com/meshwright/meshwright/internal/ir"
)

// nameFilters say which name a request is for, and at which port, to a cluster that
// resolves it. They are no part of the chain but where a rule's route asks for them, and
// the same in every listener, so that rules that do cost no connection.
func nameFilters() []*hcmv3.HttpFilter {
	out := []*hcmv3.HttpFilter{
		httpFilter(typed.FilterName, &namev3.Config{}),
		httpFilter(typed.FilterState, &setstatev3.Config{}),
	}
	for _, f := range out {
		f.Disabled = true
	}
	return out
}

// resolved is the filters of a stream: where it goes to a cluster that resolves names,
// one that resolves the server name of the connection first.
func resolved(targets []ir.Target, carry *listenerv3.Filter) []*listenerv3.Filter {
	for i := range targets {
		if t := &targets[i]; t.Dynamic != 0 {
			return []*listenerv3.Filter{network("envoy.filters.network.sni_dynamic_forward_proxy", &sniv3.FilterConfig{
				DnsCacheConfig: typed.Resolver(t.Cluster.Host),
				PortSpecifier:  &sniv3.FilterConfig_PortValue{PortValue: uint32(t.Dynamic)},
			}), carry}
		}
	}
	return []*listenerv3.Filter{carry}
}
