// SPDX-License-Identifier: Apache-2.0

package network

import (
	"net"
	"net/netip"
	"testing"

	"github.com/meshwright/meshwright/test/cluster/address"
)

func TestOurs(t *testing.T) {
	for name, want := range map[string]bool{
		address.BridgeName: true, address.Plan{Base: 200, Index: 1}.Interface(): true, address.Plan{Base: 200, Index: address.MaxClusters}.Interface(): true,
		"eth0": false, "mesh": false, "meshx": false, "mesh1x": false, "lo": false, "mymesh1": false,
	} {
		if got := Ours(name); got != want {
			t.Errorf("%s: ours is %v, want %v", name, got, want)
		}
	}
}

func TestPrefixes(t *testing.T) {
	for _, p := range []string{"10.11.0.0/16", "0.0.0.0/0", "10.200.0.1/32"} {
		want := netip.MustParsePrefix(p)
		if got := prefixOf(ipNet(want)); got != want {
			t.Errorf("%s came back as %s", want, got)
		}
	}
	mapped := &net.IPNet{IP: net.ParseIP("10.1.2.3"), Mask: net.CIDRMask(8, 32)}
	if got := prefixOf(mapped); got != netip.MustParsePrefix("10.0.0.0/8") {
		t.Errorf("a 16-byte address came back as %s", got)
	}
}

// TestTakenSeesTheMachine: loopback is on every machine.
func TestTakenSeesTheMachine(t *testing.T) {
	taken, err := Taken()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range taken {
		if p.Contains(netip.MustParseAddr("127.0.0.1")) {
			return
		}
	}
	t.Errorf("%v has no loopback network", taken)
}
