// SPDX-License-Identifier: Apache-2.0

package listener

import (
	"net/netip"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/proto"
)

// BothFamilies has a listener for all addresses of IPv4 listen on all of IPv6 as well. It
// is one listener with two sockets: one socket for both would know clients of IPv4 by
// addresses of IPv6, and cannot be told where packet rules took a connection from.
func BothFamilies(l *listenerv3.Listener) *listenerv3.Listener {
	other := proto.CloneOf(l.Address)
	other.GetSocketAddress().Address = netip.IPv6Unspecified().String()
	l.AdditionalAddresses = []*listenerv3.AdditionalAddress{{Address: other}}
	return l
}
