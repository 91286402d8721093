// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"fmt"
	"time"

	overloadv3 "github.com/envoyproxy/go-control-plane/envoy/config/overload/v3"
	connectionsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/downstream_connections/v3"
	"google.golang.org/protobuf/types/known/durationpb"
)

// refreshInterval is how often Envoy looks at its resource monitors.
const refreshInterval = 250 * time.Millisecond

// overloadManager refuses downstream connections above the limit, before they exhaust file descriptors and with them the
// connections to the control plane.
func overloadManager(connections int64) (*overloadv3.OverloadManager, error) {
	if connections <= 0 {
		return nil, fmt.Errorf("limit of downstream connections is %d, must be positive", connections)
	}
	return &overloadv3.OverloadManager{
		RefreshInterval: durationpb.New(refreshInterval),
		ResourceMonitors: []*overloadv3.ResourceMonitor{{
			Name: connectionsMonitor,
			ConfigType: &overloadv3.ResourceMonitor_TypedConfig{TypedConfig: mustAny(&connectionsv3.DownstreamConnectionsConfig{
				MaxActiveDownstreamConnections: connections,
			})},
		}},
	}, nil
}
