// SPDX-License-Identifier: Apache-2.0

package filter

import (
	"net/netip"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	statev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"
	setstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/set_filter_state/v3"

	"github.com/meshwright/meshwright/internal/envoy/typed"
	"github.com/meshwright/meshwright/internal/ir"
)

// What Envoy knows of the state of connections.
const (
	stateCluster = "envoy.tcp_proxy.cluster" // where the bytes go
	stateString  = "envoy.string"            // makes a state of a text
	stateAddress = "envoy.network.transport_socket.original_dst_address"
)

// Carries notes what a connection carries, typed.CarriesRequests or typed.CarriesBytes,
// for the clusters whose servers must be told.
func Carries(what string) *listenerv3.Filter {
	return network("envoy.filters.network.set_filter_state", &setstatev3.Config{
		OnNewConnection: []*statev3.FilterStateValue{{
			Key:                &statev3.FilterStateValue_ObjectKey{ObjectKey: typed.StateCarries},
			FactoryKey:         stateString,
			Value:              &statev3.FilterStateValue_FormatString{FormatString: text(what)},
			SharedWithUpstream: statev3.FilterStateValue_ONCE, // for the choice of the transport
		}},
	})
}

func text(format string) *corev3.SubstitutionFormatString {
	return &corev3.SubstitutionFormatString{
		Format: &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: &corev3.DataSource{
			Specifier: &corev3.DataSource_InlineString{InlineString: format},
		}},
		OmitEmptyValues: true,
	}
}

// Pods tells the pods of headless hosts from other addresses. What it knows is a
// resource of its own, which changes with every pod; the listener waits for the
// first and does not change. Until then nothing is sent in plaintext by mistake.
func Pods(port uint16) *listenerv3.Filter { return discovered(ir.PodsName(port)) }

// discovered is a filter that notes what a resource says of connections.
func discovered(name string) *listenerv3.Filter {
	return &listenerv3.Filter{
		Name: name,
		ConfigType: &listenerv3.Filter_ConfigDiscovery{ConfigDiscovery: &corev3.ExtensionConfigSource{
			ConfigSource: typed.ADS(),
			TypeUrls:     []string{"type.googleapis.com/envoy.extensions.filters.network.set_filter_state.v3.Config"},
		}},
	}
}

// PodTable is what a Pods filter knows: for each host the addresses whose bytes go
// to its cluster, and those that take mutual TLS.
func PodTable(in *ir.PodPort) *corev3.TypedExtensionConfig {
	out := &setstatev3.Config{}
	for i := range in.Hosts {
		h := &in.Hosts[i]
		for list := range slices.Chunk(h.Pods, maxList) {
			out.OnNewConnection = append(out.OnNewConnection, &statev3.FilterStateValue{
				Key:         &statev3.FilterStateValue_ObjectKey{ObjectKey: stateCluster},
				Value:       ifDialled(list, in.Port, h.Cluster.Name()),
				SkipIfEmpty: true,
			})
		}
		for list := range slices.Chunk(h.Meshed, maxList) {
			out.OnNewConnection = append(out.OnNewConnection, &statev3.FilterStateValue{
				Key:                &statev3.FilterStateValue_ObjectKey{ObjectKey: typed.StatePeerTLS},
				FactoryKey:         stateString,
				Value:              ifDialled(list, in.Port, typed.PeerTLSMesh),
				SharedWithUpstream: statev3.FilterStateValue_ONCE, // for the choice of the transport
				SkipIfEmpty:        true,
			})
		}
	}
	return &corev3.TypedExtensionConfig{Name: ir.PodsName(in.Port), TypedConfig: typed.Config(out)}
}

// maxList keeps an expression well below the 100,000 characters that Envoy reads.
const maxList = 1000

// ifDialled is a value for connections to one of some addresses, and empty for others.
func ifDialled(addrs []netip.Addr, port uint16, value string) *statev3.FilterStateValue_FormatString {
	var b strings.Builder
	b.WriteString("%CEL(destination.address in [")
	for i, a := range addrs {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("'" + netip.AddrPortFrom(a, port).String() + "'")
	}
	b.WriteString("] ? '" + value + "' : '')%")
	return &statev3.FilterStateValue_FormatString{FormatString: text(b.String())}
}
