// SPDX-License-Identifier: Apache-2.0

package filter

import (
	"time"

	ondemandv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/on_demand/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/meshwright/meshwright/internal/envoy/typed"
)

// clusterPatience bounds how long a request waits for a cluster that the proxy
// asked for. For a virtual host Envoy waits without a bound.
const clusterPatience = 5 * time.Second

// onDemandFilter asks for the virtual host that a request names when none fits,
// and for the cluster of its route when it is not there.
// See https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/on_demand_updates_filter.
func onDemandFilter() *hcmv3.HttpFilter {
	return httpFilter("envoy.filters.http.on_demand", &ondemandv3.OnDemand{
		Odcds: &ondemandv3.OnDemandCds{Source: typed.ADS(), Timeout: durationpb.New(clusterPatience)},
	})
}

// onDemandCluster lets a connection wait for its cluster.
func onDemandCluster() *tcpproxyv3.TcpProxy_OnDemand {
	return &tcpproxyv3.TcpProxy_OnDemand{OdcdsConfig: typed.ADS(), Timeout: durationpb.New(clusterPatience)}
}
