// SPDX-License-Identifier: Apache-2.0

package filter

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	statev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"
	setstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/set_filter_state/v3"

	"github.com/meshwright/meshwright/internal/envoy/typed"
	"github.com/meshwright/meshwright/internal/ir"
)

// Addresses has a connection carried to the cluster with the name of its address, in
// proxies that ask. Whether one does is a resource of its own, so that listeners, and
// with them connections, stay when that changes.
func Addresses() *listenerv3.Filter { return discovered(ir.AddressesName) }

// CalledAddress makes the address that a connection came to known to clusters that go
// where the client went, which else believe packet rules alone.
func CalledAddress() *listenerv3.Filter {
	return network("envoy.filters.network.set_filter_state", &setstatev3.Config{
		OnNewConnection: []*statev3.FilterStateValue{{
			Key:   &statev3.FilterStateValue_ObjectKey{ObjectKey: stateAddress},
			Value: &statev3.FilterStateValue_FormatString{FormatString: text("%DOWNSTREAM_LOCAL_ADDRESS%")},
		}},
	})
}

// AddressTable is what an Addresses filter does: name the cluster, or nothing.
// See https://www.envoyproxy.io/docs/envoy/latest/configuration/advanced/well_known_filter_state.
func AddressTable(ask bool) *corev3.TypedExtensionConfig {
	out := &setstatev3.Config{}
	if ask {
		out.OnNewConnection = []*statev3.FilterStateValue{{
			Key:   &statev3.FilterStateValue_ObjectKey{ObjectKey: stateCluster},
			Value: &statev3.FilterStateValue_FormatString{FormatString: text("%DOWNSTREAM_LOCAL_ADDRESS%")},
		}}
	}
	return &corev3.TypedExtensionConfig{Name: ir.AddressesName, TypedConfig: typed.Config(out)}
}
