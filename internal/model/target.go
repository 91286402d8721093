// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"slices"
	"strings"

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
	Alias     string       // with ir.DiscoverDNS
	Of        string       // the host whose servers answer, if it is another
	Near      *ir.Nearness // that the host asks for
	Sticky    bool         // clients stay with an endpoint until it is gone
	Target    uint16
	Entry     *ir.Entry // whose workloads are the endpoints; nil: those of EndpointSlices
	Subset    ir.Labels
	Choice    choice
	Stays     *ir.Subset // in place of a subset that the policies do not have any more
	Auto      bool       // for connections that name it themselves
	Names     []string   // of the servers' certificates, beside their identities
	Gateway   bool       // for gateways, which have no address that the client dialled
}

func (m *Model) targets(c *graph.Ctx, k seenHost, ch choice, emit func(TargetKey, *Target)) {
	h, ok := m.host(c, k.Viewer.namespace, k.Host)
	if !ok || k.Viewer.class != "" && !m.isSidecar(c, k.Viewer) {
		return // gateways have only the clusters that their routes name
	}
	if h.Of != "" && len(ch.Policies) == 0 {
		ch = m.choiceFor(c, k.Viewer, h.Of)
	}
	var subsets []ir.Subset
	if p := m.policyOf(c, ch); p != nil {
		subsets = p.Subsets
	}
	for _, port := range h.Ports {
		at := func(subset string) TargetKey {
			return TargetKey{k.Viewer.layer(), ir.ClusterKey{Host: h.Name, Port: port.Port, Subset: subset}}
		}
		emit(at(""), target(h, port, ch, nil))
		for i := range subsets {
			emit(at(subsets[i].Name), target(h, port, ch, subsets[i].Labels))
		}
		for key, s := range graph.Each(c, m.lentTo, k) {
			if !slices.ContainsFunc(subsets, func(x ir.Subset) bool { return x.Name == key.Name }) {
				t := target(h, port, ch, s.Labels)
				t.Stays = s
				emit(at(key.Name), t)
			}
		}
		if h.Headless {
			pods := target(h, port, ch, nil)
			pods.Discovery = ir.DiscoverPod
			key := ir.ClusterKey{Host: h.Name, Port: port.Port}.Pods()
			emit(TargetKey{k.Viewer.layer(), key}, pods)
		}
	}
}

func target(h *ir.Host, port ir.ServicePort, ch choice, subset ir.Labels) *Target {
	t := &Target{Of: h.Of, PortName: port.Name, Protocol: port.Protocol, Near: h.Near, Sticky: h.Sticky, Subset: subset, Choice: ch}
	switch {
	case h.Alias != "":
		t.Discovery, t.Alias = ir.DiscoverDNS, h.Alias
	case port.Entry != nil:
		t.Entry, t.Target, t.Names = port.Entry, port.Target, port.Entry.SubjectAltNames
		t.Discovery = discoveries[port.Entry.Resolution]
	default:
		t.Names = h.SubjectAltNames
	}
	return t
}

// Server is the host whose endpoints a target has.
func (t *Target) Server(k TargetKey) string { return cmp.Or(t.Of, k.Cluster.Host) }

// discoveries is how a proxy finds the servers of a ServiceEntry's hosts.
var discoveries = map[ir.Resolution]ir.Discovery{
	ir.ResolveNone:       ir.DiscoverOriginalDst,
	ir.ResolveStatic:     ir.DiscoverEDS,
	ir.ResolveDNS:        ir.DiscoverDNS,
	ir.ResolveDNSLogical: ir.DiscoverDNSLogical,
	ir.ResolveDynamic:    ir.DiscoverDynamic,
}

// EndpointsOf is what serves a target.
func (m *Model) EndpointsOf(c *graph.Ctx, k TargetKey, t *Target) *ir.EndpointSet {
	if t.Entry == nil {
		set, _ := graph.Get(c, m.EndpointSets, t.Server(k))
		return set
	}
	set, _ := graph.Get(c, m.EntrySets, t.Entry.Key)
	return set
}

// resolved is the endpoints that a proxy resolves by itself: those of a ServiceEntry,
// else the host.
func (m *Model) resolved(c *graph.Ctx, k TargetKey, t *Target) *ir.Assignment {
	set := m.EndpointsOf(c, k, t)
	if set == nil || len(set.Backends) == 0 {
		set = &ir.EndpointSet{Backends: []ir.Backend{{
			Name: k.Cluster.Host, Ports: []ir.SlicePort{{Name: t.PortName, Port: t.Target}},
		}}}
	}
	out := Assign(k.Cluster, t.PortName, t.Subset, set, nil, Client{}, false)
	if t.Discovery == ir.DiscoverDNSLogical {
		return first(out)
	}
	return out
}

// first is the first endpoint alone.
func first(a *ir.Assignment) *ir.Assignment {
	if len(a.Localities) > 0 {
		a.Localities = a.Localities[:1]
		a.Localities[0].Endpoints = a.Localities[0].Endpoints[:1]
	}
	return a
}

// Cluster is what the cluster of a target is built from.
func (m *Model) Cluster(c *graph.Ctx, k TargetKey, t *Target) (*ir.OutboundCluster, bool) {
	mesh, ok := m.settings(c)
	if !ok {
		return nil, false
	}
	out := &ir.OutboundCluster{
		Key: k.Cluster, Auto: t.Auto, Discovery: t.Discovery, Alias: t.Alias, Of: t.Of, Protocol: t.Protocol,
		Sticky: t.Sticky && t.Discovery == ir.DiscoverEDS, TrustDomain: mesh.TrustDomain, KeepCase: mesh.Dialect.PreserveCase,
		Defaults: mesh.Clients,
	}
	if out.Detected = t.Protocol == ir.ProtocolAuto; out.Detected && t.Gateway {
		out.Protocol = ir.ProtocolHTTP // a client of a gateway must not choose what the server gets
	}
	host := t.Server(k)
	if t.Discovery == ir.DiscoverPod {
		host = strings.TrimPrefix(host, ir.PodsOf(""))
		out.PodPort = m.podPort(c, host, k.Cluster.Port)
	}
	if t.Entry == nil {
		if ids, ok := graph.Get(c, m.Identities, host); ok {
			out.Identities = ids.Identities
		}
	} else {
		m.fromEntry(c, k, t, out)
	}
	out.SubjectAltNames = t.Names
	out.Settings = m.settingsOf(c, k, t)
	if !t.Auto {
		out.Secrets = m.secretsFor(c, k, t)
	}
	out.Origins = shaping(m.policies(c, t.Choice), t, k.Cluster.Subset)
	if near := m.nearFor(c, k, t); t.Discovery == ir.DiscoverEDS && near != nil {
		out.Weighted, out.Zones = near.Weighted(), near.Zones
	}
	if t.Gateway && out.Settings.LoadBalancer.Balance == ir.BalancePassthrough {
		out.Settings.LoadBalancer = ir.LoadBalancer{}
	}
	return out, true
}

// fromEntry fills in what a cluster takes from a ServiceEntry.
func (m *Model) fromEntry(c *graph.Ctx, k TargetKey, t *Target, out *ir.OutboundCluster) {
	out.External = t.Entry.External
	if ids, ok := graph.Get(c, m.entryIdentities, t.Entry.Key); ok {
		out.Identities = ids.Identities
	}
	switch t.Discovery {
	case ir.DiscoverDNS, ir.DiscoverDNSLogical:
		out.Endpoints = m.resolved(c, k, t)
	case ir.DiscoverOriginalDst:
		if t.Target != k.Cluster.Port {
			out.PodPort = t.Target
		}
	}
}

// hash keeps what consistent hashing looks at apart from the rest of a policy,
// so that virtual hosts need not read policies.
func (m *Model) hash(c *graph.Ctx, k TargetKey, t *Target, emit func(TargetKey, ir.LoadBalancer)) {
	lb := m.settingsOf(c, k, t).LoadBalancer
	switch lb.Balance {
	case ir.BalanceHashHeader, ir.BalanceHashCookie, ir.BalanceHashSourceIP, ir.BalanceHashQuery:
		emit(k, lb.Hash())
	}
}

// settingsOf is what the policies of a target, and the subset that stays of those
// that they were, say of its cluster.
func (m *Model) settingsOf(c *graph.Ctx, k TargetKey, t *Target) ir.PolicySettings {
	p := m.policyOf(c, t.Choice)
	switch {
	case t.Stays != nil && p == nil:
		p = &ir.TrafficPolicy{Subsets: []ir.Subset{*t.Stays}}
	case t.Stays != nil:
		with := *p
		with.Subsets = append(slices.Clone(p.Subsets), *t.Stays)
		p = &with
	case p == nil:
		return ir.PolicySettings{}
	}
	return p.For(k.Cluster.Port, k.Cluster.Subset)
}

// shaping is where the settings of a cluster come from: the policy that has its
// subset, or decides when none has it any more, and the first that has any for the
// host as a whole.
func shaping(all []*ir.TrafficPolicy, t *Target, subset string) []ir.Origin {
	var out []ir.Origin
	add := func(fits func(*ir.TrafficPolicy) bool) {
		if i := slices.IndexFunc(all, fits); i >= 0 && !slices.Contains(out, all[i].Origin) {
			out = append(out, all[i].Origin)
		}
	}
	add(func(p *ir.TrafficPolicy) bool { _, has := p.Subset(subset); return has || t.Stays != nil })
	add((*ir.TrafficPolicy).Shapes)
	slices.SortFunc(out, ir.Origin.Compare)
	return out
}

// hashFor is what is hashed for a cluster, as somebody sees it.
func (m *Model) hashFor(c *graph.Ctx, by viewer, key ir.ClusterKey) ir.LoadBalancer {
	lb, _ := graph.Get(c, m.hashes, TargetKey{m.viewOf(c, by, key.Host).layer(), key})
	return lb
}

// hashViewers is who sees a host in their own way, if some cluster hashes for it.
func (m *Model) hashViewers(c *graph.Ctx, host string) []viewer {
	if _, hashed := graph.Get(c, m.hashed, host); !hashed {
		return nil
	}
	var out []viewer
	for k := range graph.Each(c, m.scopes, host) {
		out = append(out, k.Viewer)
	}
	return out
}
