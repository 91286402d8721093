// SPDX-License-Identifier: Apache-2.0

package model

import (
	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// Target is an outbound cluster that exists. It says which endpoints it has and
// whose settings it takes; the settings themselves are read where they are used,
// so that a new load balancer cannot wake the endpoints.
type Target struct {
	PortName  string
	Protocol  ir.Protocol
	Discovery ir.Discovery
	Alias     string // with ir.DiscoverDNS
	Subset    ir.Labels
	HasPolicy bool
	Policy    ir.ConfigKey
	Gateway   bool // for gateways, which have no address that the client dialled
}

func scopeLayer(scope string) ir.Layer {
	if scope == "" {
		return ir.LayerMesh
	}
	return ir.NamespaceLayer(scope)
}

func (m *Model) targets(c *graph.Ctx, k scopeHost, ch choice, emit func(TargetKey, *Target)) {
	h, ok := m.host(c, k.Scope, k.Host)
	if !ok {
		return
	}
	var subsets []ir.Subset
	if p, ok := graph.Get(c, m.Policies.Table(), ch.Policy); ok && ch.Has {
		subsets = p.Subsets
	}
	for _, port := range h.Ports {
		emit(TargetKey{scopeLayer(k.Scope), ir.ClusterKey{Host: h.Name, Port: port.Port}}, target(h, port, ch, nil))
		for i := range subsets {
			key := ir.ClusterKey{Host: h.Name, Port: port.Port, Subset: subsets[i].Name}
			emit(TargetKey{scopeLayer(k.Scope), key}, target(h, port, ch, subsets[i].Labels))
		}
	}
}

func target(h *ir.Host, port ir.ServicePort, ch choice, subset ir.Labels) *Target {
	t := &Target{
		PortName: port.Name, Protocol: port.Protocol, Subset: subset,
		HasPolicy: ch.Has, Policy: ch.Policy,
	}
	if h.Alias != "" {
		t.Discovery, t.Alias = ir.DiscoverDNS, h.Alias
	}
	return t
}

// Cluster is what the cluster of a target is built from.
func (m *Model) Cluster(c *graph.Ctx, k TargetKey, t *Target) (*ir.OutboundCluster, bool) {
	mesh, ok := m.settings(c)
	if !ok {
		return nil, false
	}
	out := &ir.OutboundCluster{
		Key: k.Cluster, Discovery: t.Discovery, Alias: t.Alias, Protocol: t.Protocol,
		TrustDomain: mesh.TrustDomain,
	}
	if ids, ok := graph.Get(c, m.Identities, k.Cluster.Host); ok {
		out.Identities = ids.Identities
	}
	if t.HasPolicy {
		if p, ok := graph.Get(c, m.Policies.Table(), t.Policy); ok {
			out.Settings = p.For(k.Cluster.Port, k.Cluster.Subset)
			out.Origins = []ir.Origin{p.Origin}
		}
	}
	if t.Gateway && out.Settings.LoadBalancer.Balance == ir.BalancePassthrough {
		out.Settings.LoadBalancer = ir.LoadBalancer{}
	}
	return out, true
}

// hash keeps what consistent hashing looks at apart from the rest of a policy,
// so that virtual hosts need not read policies.
func (m *Model) hash(c *graph.Ctx, k TargetKey, t *Target, emit func(TargetKey, ir.LoadBalancer)) {
	if !t.HasPolicy {
		return
	}
	p, ok := graph.Get(c, m.Policies.Table(), t.Policy)
	if !ok {
		return
	}
	lb := p.For(k.Cluster.Port, k.Cluster.Subset).LoadBalancer
	switch lb.Balance {
	case ir.BalanceHashHeader, ir.BalanceHashCookie, ir.BalanceHashSourceIP, ir.BalanceHashQuery:
		emit(k, lb.Hash())
	}
}

// hashFor is what is hashed for a cluster, as a namespace sees it; "" is everybody.
func (m *Model) hashFor(c *graph.Ctx, namespace string, key ir.ClusterKey) ir.LoadBalancer {
	if namespace != "" {
		if _, own := graph.Get(c, m.choices, scopeHost{namespace, key.Host}); !own {
			namespace = ""
		}
	}
	lb, _ := graph.Get(c, m.hashes, TargetKey{scopeLayer(namespace), key})
	return lb
}

// hashViews is the namespaces with a policy of their own for a host which some
// cluster hashes for: what their routes hash by may differ from everybody's.
func (m *Model) hashViews(c *graph.Ctx, host string) []string {
	if _, hashed := graph.Get(c, m.hashed, host); !hashed {
		return nil
	}
	var out []string
	for k := range graph.Each(c, m.scopes, host) {
		if k.Scope != "" {
			out = append(out, k.Scope)
		}
	}
	return out
}
