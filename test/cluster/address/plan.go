// SPDX-License-Identifier: Apache-2.0

// Package address gives each local cluster a number and, from it, address
// ranges that no other cluster and nothing else on the machine uses.
package address

import (
	"fmt"
	"net/netip"
	"slices"
)

// MaxClusters is how many clusters one machine can number.
const MaxClusters = 40

// bases are the second octets of 10.0.0.0/8 that node and load balancer
// addresses are tried in. All clusters of a machine share one base, because
// their nodes share one bridge.
var bases = []byte{200, 201, 202, 203, 204, 205}

// Plan is what one cluster uses, a pure function of the base and the number.
type Plan struct {
	// Base is the second octet of the node network 10.BASE.0.0/24.
	Base byte `json:"base"`
	// Index is the cluster's number on this machine, from 1.
	Index int `json:"index"`
}

// Bridge is the host's address on the bridge, with the node network's length.
func (p Plan) Bridge() netip.Prefix { return netip.PrefixFrom(ip4(10, p.Base, 0, 1), 24) }

// Nodes is the network that the nodes of all clusters are in.
func (p Plan) Nodes() netip.Prefix { return p.Bridge().Masked() }

// Node is the address of the cluster's node.
func (p Plan) Node() netip.Addr { return ip4(10, p.Base, 0, byte(10+p.Index)) }

// Pods is the range of the pods' addresses.
func (p Plan) Pods() netip.Prefix { return netip.PrefixFrom(ip4(10, byte(10+p.Index), 0, 0), 16) }

// Services is the range of the Services' cluster addresses.
func (p Plan) Services() netip.Prefix { return netip.PrefixFrom(ip4(10, byte(110+p.Index), 0, 0), 16) }

// LoadBalancers is the range that Services of type LoadBalancer get an
// address from.
func (p Plan) LoadBalancers() netip.Prefix {
	return netip.PrefixFrom(ip4(10, p.Base, byte(10+p.Index), 0), 24)
}

// API is the cluster address of the API server's Service, the first one.
func (p Plan) API() netip.Addr { return p.Services().Addr().Next() }

// DNS is the cluster address of the DNS Service.
func (p Plan) DNS() netip.Addr {
	b := p.Services().Addr().As4()
	b[3] = 10
	return netip.AddrFrom4(b)
}

// Ranges are the cluster's own ranges: pods, services, load balancers.
func (p Plan) Ranges() []netip.Prefix {
	return []netip.Prefix{p.Pods(), p.Services(), p.LoadBalancers()}
}

// Interface is the name of the host's end of the node's link; it is short
// because the kernel takes 15 characters.
func (p Plan) Interface() string { return fmt.Sprintf("mesh%d", p.Index) }

// Cgroup is the name of the cgroup that holds all of the cluster's processes.
func (p Plan) Cgroup() string { return fmt.Sprintf("meshwright-%d", p.Index) }

// BridgeName is the interface that joins the nodes of all clusters.
const BridgeName = "mesh0"

func ip4(a, b, c, d byte) netip.Addr { return netip.AddrFrom4([4]byte{a, b, c, d}) }

// Choose picks the plan prefer when it is not nil and free, else the lowest
// free number. used are the plans of the clusters that exist, taken are the
// networks that the machine has already, without ours.
func Choose(prefer *Plan, used []Plan, taken []netip.Prefix) (Plan, error) {
	candidates := bases
	numbers := map[int]bool{}
	for _, p := range used {
		// Nodes of all clusters are on one bridge, so its base is settled.
		candidates = []byte{p.Base}
		numbers[p.Index] = true
	}
	if prefer != nil && prefer.Index >= 1 && prefer.Index <= MaxClusters && slices.Contains(candidates, prefer.Base) &&
		!numbers[prefer.Index] && !overlaps(taken, append(prefer.Ranges(), prefer.Nodes())...) {
		return *prefer, nil
	}
	for _, base := range candidates {
		if len(used) == 0 && overlaps(taken, Plan{Base: base}.Nodes()) {
			continue
		}
		for index := 1; index <= MaxClusters; index++ {
			plan := Plan{Base: base, Index: index}
			if !numbers[index] && !overlaps(taken, plan.Ranges()...) {
				return plan, nil
			}
		}
	}
	return Plan{}, fmt.Errorf("no free address ranges within 10.0.0.0/8: %d clusters exist and the machine has routes to the rest: take a cluster down or remove a route", len(used))
}

func overlaps(taken []netip.Prefix, ranges ...netip.Prefix) bool {
	for _, t := range taken {
		// A default route covers everything and takes nothing.
		if t.Bits() == 0 {
			continue
		}
		for _, r := range ranges {
			if t.Overlaps(r) {
				return true
			}
		}
	}
	return false
}
