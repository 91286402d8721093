// SPDX-License-Identifier: Apache-2.0

package model

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/meshwright/meshwright/internal/ir"
)

func allocatedTo(hosts []string) map[string]*allocated {
	wishes := make([]wish, len(hosts))
	for i := range hosts {
		wishes[i].host = hosts[i]
	}
	return granted(wishes)
}

func granted(wishes []wish) map[string]*allocated {
	out := map[string]*allocated{}
	allocate(wishes, func(host string, a *allocated) { out[host] = a })
	return out
}

// TestAllocate: addresses are within the ranges, no two hosts have the same, and who
// comes later takes none away.
func TestAllocate(t *testing.T) {
	v4, v6 := netip.MustParsePrefix("240.240.0.0/16"), netip.MustParsePrefix("2001:2::/48")
	var hosts []string
	for i := range 5000 {
		hosts = append(hosts, fmt.Sprintf("host-%d.example.com", i))
	}
	all := allocatedTo(hosts)
	owner := map[netip.Addr]string{}
	for _, host := range hosts {
		a := all[host]
		if a == nil {
			t.Fatalf("%s has no address", host)
		}
		for _, addr := range []netip.Addr{a.IPv4, a.IPv6} {
			if other, taken := owner[addr]; taken {
				t.Errorf("%s and %s both have %s", host, other, addr)
			}
			owner[addr] = host
		}
		bytes := a.IPv4.As4()
		if !v4.Contains(a.IPv4) || !v6.Contains(a.IPv6) || bytes == [4]byte{240, 240, 0, 0} || bytes == [4]byte{240, 240, 255, 255} {
			t.Errorf("%s has %s and %s", host, a.IPv4, a.IPv6)
		}
	}
	for host, a := range allocatedTo(hosts[:2500]) {
		if *all[host] != *a {
			t.Errorf("%s moved from %s to %s when others came", host, a.IPv4, all[host].IPv4)
		}
	}
}

// TestAllocateEveryAddress: whatever is free is found, and more hosts than addresses
// end in some without.
func TestAllocateEveryAddress(t *testing.T) {
	hosts := make([]string, slots+10)
	for i := range hosts {
		hosts[i] = fmt.Sprintf("h%d.example", i)
	}
	if got := len(allocatedTo(hosts)); got != slots {
		t.Errorf("%d of %d addresses were given", got, slots)
	}
}

// TestAllocateWhatHostsHad: a host keeps the address that its status says, whatever
// others would have found there, unless an older one has it, too.
func TestAllocateWhatHostsHad(t *testing.T) {
	free := allocatedTo([]string{"a.example"})["a.example"]
	had := func(text string) (uint32, bool) {
		return slotOf(&ir.Allocated{Addresses: []ir.HostAddress{
			{Host: "other", Addr: netip.MustParseAddr("240.240.7.7")}, {Host: "b.example", Addr: netip.MustParseAddr(text)},
		}}, "b.example")
	}
	slot, ok := had(free.IPv4.String())
	if !ok {
		t.Fatalf("%s is not one of ours", free.IPv4)
	}
	got := granted([]wish{{host: "a.example"}, {host: "b.example", slot: slot, had: true}, {host: "c.example", slot: slot, had: true}})
	if *got["b.example"] != *free {
		t.Errorf("b.example had %s and got %s", free.IPv4, got["b.example"].IPv4)
	}
	if len(got) != 3 || *got["a.example"] == *free || *got["c.example"] == *free {
		t.Errorf("others got %v, %v", got["a.example"], got["c.example"])
	}
	for _, text := range []string{"240.240.0.0", "240.240.255.255", "240.241.0.1", "10.0.0.1", "2001:2::1"} {
		if slot, ok := had(text); ok {
			t.Errorf("%s is taken for slot %d", text, slot)
		}
	}
}
