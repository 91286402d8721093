// SPDX-License-Identifier: Apache-2.0

package nameserver

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	dnsv3 "github.com/envoyproxy/go-control-plane/envoy/data/dns/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
)

// domain is the resource of a name as the control plane makes it.
func domain(t testing.TB, name string, ttl time.Duration, addresses ...string) *discoveryv3.Resource {
	t.Helper()
	d := &dnsv3.DnsTable_DnsVirtualDomain{
		Name: name,
		Endpoint: &dnsv3.DnsTable_DnsEndpoint{EndpointConfig: &dnsv3.DnsTable_DnsEndpoint_AddressList{
			AddressList: &dnsv3.DnsTable_AddressList{Address: addresses},
		}},
	}
	if ttl != 0 {
		d.AnswerTtl = durationpb.New(ttl)
	}
	packed, err := anypb.New(d)
	if err != nil {
		t.Fatal(err)
	}
	if packed.GetTypeUrl() != ResourceType {
		t.Fatalf("the type is %s", packed.GetTypeUrl())
	}
	return &discoveryv3.Resource{Name: name, Version: "1", Resource: packed}
}

func TestApply(t *testing.T) {
	table := NewTable()
	n, err := table.Apply([]*discoveryv3.Resource{
		domain(t, "a.example.com", 0, "10.0.0.1", "::ffff:10.0.0.2", "fd00::1"),
		domain(t, "*.example.com", time.Hour, "10.0.0.3"),
	}, nil)
	if err != nil || n != 2 {
		t.Fatalf("%d names, %v", n, err)
	}
	for name, want := range map[string]Record{
		"a.example.com": {IPv4: addrs("10.0.0.1", "10.0.0.2"), IPv6: addrs("fd00::1"), TTL: 30},
		"b.example.com": {IPv4: addrs("10.0.0.3"), TTL: 300},
	} {
		got, ok := table.Lookup(name)
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b Record) bool { return equal(a, b) })); !ok || diff != "" {
			t.Errorf("%s: %t\n%s", name, ok, diff)
		}
	}
	for name, bad := range map[string]*discoveryv3.Resource{
		"Upper.example.com": domain(t, "Upper.example.com", 0, "10.0.0.1"),
		"dot.example.com.":  domain(t, "dot.example.com.", 0, "10.0.0.1"),
		"b.example.com":     domain(t, "b.example.com", 0, "10.0.0.1", "nowhere"),
		"zone.example.com":  domain(t, "zone.example.com", 0, "fe80::1%eth0"),
		"nobody":            {Name: "nobody"},
	} {
		_, err := table.Apply([]*discoveryv3.Resource{domain(t, "new.example.net", 0, "10.0.0.9"), bad}, []string{"a.example.com"})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v, want an error with the name", name, err)
		}
	}
	if _, ok := table.Lookup("new.example.net"); ok {
		t.Error("a part of a refused response was taken in")
	}
	if r, ok := table.Lookup("a.example.com"); !ok || len(r.IPv4) != 2 {
		t.Error("a refused response removed a name")
	}
}

func equal(a, b Record) bool {
	if a.TTL != b.TTL || len(a.IPv4) != len(b.IPv4) || len(a.IPv6) != len(b.IPv6) {
		return false
	}
	for i := range a.IPv4 {
		if a.IPv4[i] != b.IPv4[i] {
			return false
		}
	}
	for i := range a.IPv6 {
		if a.IPv6[i] != b.IPv6[i] {
			return false
		}
	}
	return true
}

// TestReach: a pod is not told of addresses that it has no way to, unless there are no others.
func TestReach(t *testing.T) {
	for _, c := range []struct {
		own  []netip.Addr
		want map[string]Record
	}{
		{addrs("10.0.0.1", "fd00::1"), map[string]Record{"both": {IPv4: addrs("10.1.0.1"), IPv6: addrs("fd01::1")}, "four": {IPv4: addrs("10.1.0.1")}, "six": {IPv6: addrs("fd01::1")}}},
		{addrs("10.0.0.1"), map[string]Record{"both": {IPv4: addrs("10.1.0.1")}, "four": {IPv4: addrs("10.1.0.1")}, "six": {IPv6: addrs("fd01::1")}}},
		{addrs("fd00::1"), map[string]Record{"both": {IPv6: addrs("fd01::1")}, "four": {IPv4: addrs("10.1.0.1")}, "six": {IPv6: addrs("fd01::1")}}},
	} {
		table := NewTable()
		table.Reach(c.own)
		if _, err := table.Apply([]*discoveryv3.Resource{
			domain(t, "both", 0, "10.1.0.1", "fd01::1"), domain(t, "four", 0, "10.1.0.1"), domain(t, "six", 0, "fd01::1"),
		}, nil); err != nil {
			t.Fatal(err)
		}
		for name, want := range c.want {
			got, _ := table.Lookup(name)
			if !slices.Equal(got.IPv4, want.IPv4) || !slices.Equal(got.IPv6, want.IPv6) {
				t.Errorf("a pod of %v is told of %s: %v %v", c.own, name, got.IPv4, got.IPv6)
			}
		}
	}
}
