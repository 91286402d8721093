// SPDX-License-Identifier: Apache-2.0

package typed

import (
	"net/netip"

	xdscore "github.com/cncf/xds/go/xds/core/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	cachev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/dynamic_forward_proxy/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// A client chooses the names that a proxy resolves for it, so what they may cost is bounded.
const (
	maxNames     = 1024 // that are held
	maxQuestions = 256  // that wait for an answer
)

// ownAddresses is what no name may lead to, whoever answers for it: the proxy itself, its
// application and the machine's own services, which trust whoever reaches them.
var ownAddresses = []string{
	"0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16",
	"::/127", "::ffff:0:0/96", "fe80::/10",
}

// Resolver is the names under a pattern, as a proxy resolves them. All that goes by one
// name in a proxy must be the same, and what changes here must change the name too: a
// proxy takes no other settings under a name that it has. Each pattern has its own, so
// that who asks for many names of one takes nothing from the others.
// See https://www.envoyproxy.io/docs/envoy/latest/api-v3/extensions/common/dynamic_forward_proxy/v3/dns_cache.proto.
func Resolver(pattern string) *cachev3.DnsCacheConfig {
	never := &matcherv3.AddressMatcher{}
	for _, text := range ownAddresses {
		p := netip.MustParsePrefix(text)
		never.Ranges = append(never.Ranges, &xdscore.CidrRange{AddressPrefix: p.Addr().String(), PrefixLen: wrapperspb.UInt32(uint32(p.Bits()))})
	}
	return &cachev3.DnsCacheConfig{
		Name:            "names|" + pattern,
		DnsLookupFamily: clusterv3.Cluster_V4_PREFERRED,
		MaxHosts:        wrapperspb.UInt32(maxNames),
		DnsCacheCircuitBreaker: &cachev3.DnsCacheCircuitBreakers{
			MaxPendingRequests: wrapperspb.UInt32(maxQuestions),
		},
		DisableDnsRefreshOnFailure: true, // a name that is not there is asked for again when a client does
		ResolvedAddressFilter:      never,
	}
}
