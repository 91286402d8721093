// SPDX-License-Identifier: Apache-2.0

package filter

import (
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	statev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"
	setstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/set_filter_state/v3"

	"github.com/meshwright/meshwright/internal/ir"
)

// Auto carries bytes to the cluster that the connection's server name is the name of.
// See https://www.envoyproxy.io/docs/envoy/latest/configuration/advanced/well_known_filter_state.
func Auto(accessLogFile string) []*listenerv3.Filter {
	return []*listenerv3.Filter{
		network("envoy.filters.network.set_filter_state", &setstatev3.Config{
			OnNewConnection: []*statev3.FilterStateValue{{
				Key:      &statev3.FilterStateValue_ObjectKey{ObjectKey: stateCluster},
				Value:    &statev3.FilterStateValue_FormatString{FormatString: text(ir.AutoPrefix + "%REQUESTED_SERVER_NAME%")},
				ReadOnly: true,
			}},
		}),
		TCP(ir.ClusterBlackHole, accessLogFile),
	}
}
