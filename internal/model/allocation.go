// SPDX-License-Identifier: Apache-2.0

package model

import (
	"hash/fnv"
	"net/netip"
)

// allocated is the addresses that a host got.
type allocated struct {
	IPv4, IPv6 netip.Addr
}

// slots is how many addresses there are to give: 240.240.0.0/16 without the first
// and the last. Nobody else uses that range, which is reserved for ever; nor
// 2001:2::/48, which is for benchmarks. They are those of
// https://istio.io/latest/docs/ops/configuration/traffic-management/dns-proxy/#address-auto-allocation.
const slots = 1<<16 - 2

// allocate gives each host an address that no other has. Where to look first is a
// hash of the name, and the oldest chooses first; so every replica comes to the same
// answer without asking, again after a restart, and a host that is new takes no
// address away. It goes over all hosts that have none of their own whenever such a
// host comes or goes; only those whose address changed are told.
func allocate(hosts []string, emit func(string, *allocated)) {
	taken := make(map[uint32]bool, len(hosts))
	for _, host := range hosts {
		if len(taken) == slots {
			return // the rest go without, as if they had asked not to have one
		}
		first, step := probe(host)
		for taken[first] {
			first = (first + step) % slots
		}
		taken[first] = true
		emit(host, addressesOf(first))
	}
}

// probe is where a host looks first, and how far it goes on when that is taken. A
// step that shares no factor with the number of slots reaches every one.
func probe(host string) (first, step uint32) {
	h := fnv.New64a()
	_, _ = h.Write([]byte(host))
	sum := h.Sum64()
	step = uint32(sum>>32)%slots | 1
	for gcd(step, slots) != 1 {
		step += 2
	}
	return uint32(sum) % slots, step % slots
}

func gcd(a, b uint32) uint32 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// addressesOf is both addresses of a slot.
func addressesOf(slot uint32) *allocated {
	n := uint16(slot + 1)
	hi, lo := byte(n>>8), byte(n)
	return &allocated{
		IPv4: netip.AddrFrom4([4]byte{240, 240, hi, lo}),
		IPv6: netip.AddrFrom16([16]byte{0: 0x20, 1: 0x01, 3: 0x02, 12: 240, 13: 240, 14: hi, 15: lo}),
	}
}
