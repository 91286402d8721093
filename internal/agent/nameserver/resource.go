// SPDX-License-Identifier: Apache-2.0

package nameserver

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	dnsv3 "github.com/envoyproxy/go-control-plane/envoy/data/dns/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/miekg/dns"
)

// ResourceType is what the control plane tells names in: one resource for each, named like it.
const ResourceType = "type.googleapis.com/envoy.data.dns.v3.DnsTable.DnsVirtualDomain"

const (
	// defaultTTL holds for a name without one.
	defaultTTL = 30 * time.Second
	// maxTTL keeps an answer from outliving what it says for long.
	maxTTL = 5 * time.Minute
	// maxNames bounds the table: at a few hundred bytes each it stays below what a proxy of that mesh needs.
	maxNames = 200_000
	// maxAddresses bounds one name; more would not fit into one message.
	maxAddresses = 2048
)

// Apply takes in what the control plane sent. An error refuses all of it and names the resource at fault; nothing has
// changed then.
func (t *Table) Apply(set []*discoveryv3.Resource, removed []string) (names int, err error) {
	records := make(map[string]Record, len(set))
	for _, r := range set {
		record, err := recordOf(r)
		if err != nil {
			return 0, fmt.Errorf("DNS name %.256q: %w", r.GetName(), err)
		}
		records[r.GetName()] = t.lacks.reachable(record)
	}
	if n := t.size() + len(records); n > maxNames {
		return 0, fmt.Errorf("%d DNS names are more than the allowed %d; show this workload fewer hosts with a Sidecar", n, maxNames)
	}
	return t.Update(records, removed), nil
}

func (t *Table) size() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.exact) + len(t.wild)
}

func recordOf(r *discoveryv3.Resource) (Record, error) {
	name := r.GetName()
	if _, ok := dns.IsDomainName(name); !ok || name != strings.ToLower(strings.TrimSuffix(name, ".")) {
		return Record{}, fmt.Errorf("is not a domain name in lower case")
	}
	var domain dnsv3.DnsTable_DnsVirtualDomain
	if err := r.GetResource().UnmarshalTo(&domain); err != nil {
		return Record{}, fmt.Errorf("decode: %w", err)
	}
	ttl := defaultTTL
	if d := domain.GetAnswerTtl(); d != nil {
		ttl = min(max(d.AsDuration(), 0), maxTTL)
	}
	record := Record{TTL: uint32(ttl / time.Second)}
	addresses := domain.GetEndpoint().GetAddressList().GetAddress()
	if len(addresses) > maxAddresses {
		addresses = addresses[:maxAddresses]
	}
	for _, text := range addresses {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.Zone() != "" {
			return Record{}, fmt.Errorf("%.64q is not an IP address", text)
		}
		if addr = addr.Unmap(); addr.Is4() {
			record.IPv4 = append(record.IPv4, addr)
		} else {
			record.IPv6 = append(record.IPv6, addr)
		}
	}
	return record, nil
}
