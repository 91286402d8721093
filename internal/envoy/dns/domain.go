// SPDX-License-Identifier: Apache-2.0

// Package dns builds the names that agents answer for.
// See https://www.envoyproxy.io/docs/envoy/latest/api-v3/data/dns/v3/dns_table.proto.
package dns

import (
	"time"

	dnsv3 "github.com/envoyproxy/go-control-plane/envoy/data/dns/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/meshwright/meshwright/internal/ir"
)

// ttl is the least that the message allows. Addresses of the mesh live longer, but
// an application that keeps a name for long cannot be told of a change.
const ttl = 30 * time.Second

// Domain is a name with its addresses of both families.
func Domain(in *ir.Name) *dnsv3.DnsTable_DnsVirtualDomain {
	addresses := make([]string, len(in.Addresses))
	for i, a := range in.Addresses {
		addresses[i] = a.String()
	}
	return &dnsv3.DnsTable_DnsVirtualDomain{
		Name: in.Host,
		Endpoint: &dnsv3.DnsTable_DnsEndpoint{EndpointConfig: &dnsv3.DnsTable_DnsEndpoint_AddressList{
			AddressList: &dnsv3.DnsTable_AddressList{Address: addresses},
		}},
		AnswerTtl: durationpb.New(ttl),
	}
}
