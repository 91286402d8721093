// SPDX-License-Identifier: Apache-2.0

package model

import (
	"hash/fnv"
	"net/netip"
	"slices"
	"strings"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
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

// wish is a host that wants an address, and the one that it had, if it had one.
type wish struct {
	host string
	slot uint32
	had  bool
}

// wishes is those of one ServiceEntry.
type wishes struct {
	origin  ir.Origin
	created int64
	hosts   []wish
}

func wishesOf(e *ir.ServiceEntry, had *ir.Allocated) *wishes {
	out := &wishes{origin: e.Origin, created: e.Created}
	for _, h := range e.Hosts {
		if !strings.HasPrefix(h, "*") {
			w := wish{host: h}
			w.slot, w.had = slotOf(had, h)
			out.hosts = append(out.hosts, w)
		}
	}
	return out
}

// inOrder is each host once, the one of the oldest ServiceEntry first, with the
// address that the first to know of one says that it had.
func inOrder(rows []graph.Row[ir.ConfigKey, *wishes]) []wish {
	rows = slices.Clone(rows)
	slices.SortFunc(rows, func(a, b graph.Row[ir.ConfigKey, *wishes]) int {
		return ir.Precedence(a.Value.created, a.Value.origin, b.Value.created, b.Value.origin)
	})
	at := map[string]int{}
	var out []wish
	for _, r := range rows {
		for _, w := range r.Value.hosts {
			i, known := at[w.host]
			switch {
			case !known:
				at[w.host] = len(out)
				out = append(out, w)
			case !out[i].had:
				out[i] = w
			}
		}
	}
	return out
}

// allocate gives each host an address that no other has: the one that it had, as long
// as no older host had it as well, else one that is free. Where to look first is a
// hash of the name, and the oldest chooses first; so every replica comes to the same
// answer without asking, and a host that is new takes no address away. It goes over
// all hosts that have none of their own whenever such a host comes or goes; only those
// whose address changed are told.
func allocate(hosts []wish, emit func(string, *allocated)) {
	taken := make(map[uint32]bool, len(hosts))
	var fresh []string
	for _, w := range hosts {
		if !w.had || taken[w.slot] {
			fresh = append(fresh, w.host)
			continue
		}
		taken[w.slot] = true
		emit(w.host, addressesOf(w.slot))
	}
	for _, host := range fresh {
		if len(taken) == slots {
			return // the rest go without, as if they had asked not to have one
		}
		slot, step := probe(host)
		for taken[slot] {
			slot = (slot + step) % slots
		}
		taken[slot] = true
		emit(host, addressesOf(slot))
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

// slotOf is the slot of the IPv4 address that a host had. The IPv6 address follows
// from it, whoever gave it.
func slotOf(had *ir.Allocated, host string) (slot uint32, ok bool) {
	if had == nil {
		return 0, false
	}
	for _, a := range had.Addresses {
		if a.Host != host || !a.Addr.Is4() {
			continue
		}
		b := a.Addr.As4()
		n := uint32(b[2])<<8 | uint32(b[3])
		if b[0] == 240 && b[1] == 240 && n > 0 && n <= slots {
			return n - 1, true
		}
	}
	return 0, false
}
