// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// Who calls a headless host calls one of its pods, by the pod's own address or by
// its name in DNS. Listeners and clusters know nothing of single pods: which
// addresses are those of which host's pods is a table per port, a resource of its
// own, so that a pod that comes or goes changes that resource only.

// dialledPort is a port of a host as applications dial it. The port of a pod need
// not be that of its headless Service.
type dialledPort struct {
	dialled uint16
	service ir.ServicePort
}

// routeConfig is the route configuration of requests to a host's port. A port that
// may carry other things has a listener for itself, and so its own.
func (d dialledPort) routeConfig(h *ir.Host) string {
	if isAlone(h, d.service) {
		return ir.HostRouteName(h.Name, d.dialled)
	}
	return ir.OutboundRouteName(d.dialled)
}

// isAlone tells whether whoever connects to a port's address can mean no other host,
// whatever follows.
func isAlone(h *ir.Host, p ir.ServicePort) bool { return p.Protocol == ir.ProtocolAuto && !h.Headless }

// dialled is the ports at which a host is called. A number that pods serve on
// means that; else it means the Service's port of that number. Where two ports
// lead to the same port of the pods, the lower one is meant.
func (m *Model) dialled(c *graph.Ctx, h *ir.Host) []dialledPort {
	out := make([]dialledPort, 0, len(h.Ports))
	add := func(number uint16, p ir.ServicePort) {
		if !slices.ContainsFunc(out, func(d dialledPort) bool { return d.dialled == number }) {
			out = append(out, dialledPort{number, p})
		}
	}
	if h.Headless {
		for _, p := range h.Ports {
			for _, target := range m.podPorts(c, h, p) {
				add(target, p)
			}
		}
	}
	for _, p := range h.Ports {
		add(p.Port, p)
	}
	return out
}

// podPorts is the numbers of a headless host's port in its pods.
func (m *Model) podPorts(c *graph.Ctx, h *ir.Host, p ir.ServicePort) []uint16 {
	if p.Target != 0 {
		return []uint16{p.Target}
	}
	var out []uint16
	if t, ok := graph.Get(c, m.targetPorts, h.Name); ok {
		for _, pair := range t.Ports {
			if pair.Port == p.Port {
				out = append(out, pair.Target)
			}
		}
	}
	return out
}

// podPort is the number of a port in all pods of a headless host, 0 if they differ.
func (m *Model) podPort(c *graph.Ctx, host string, port uint16) uint16 {
	d, ok := graph.Get(c, m.serviceHosts, host)
	if !ok {
		return 0
	}
	p, ok := d.Host.Port(port)
	if targets := m.podPorts(c, d.Host, p); ok && len(targets) == 1 {
		return targets[0]
	}
	return 0
}

// httpPorts is the ports at which a host is asked for by its name.
func (m *Model) httpPorts(c *graph.Ctx, h *ir.Host) []dialledPort {
	return slices.DeleteFunc(m.dialled(c, h), func(d dialledPort) bool { return !d.service.Protocol.MayBeHTTP() })
}

// emitPods makes the virtual host of a headless host's pods, which are asked for
// by names of their own.
func (m *Model) emitPods(
	c *graph.Ctx, mesh *ir.Mesh, h *ir.Host, by viewer, names []string, emit func(VirtualHostKey, *ir.VirtualHost),
) {
	if !h.Headless {
		return
	}
	patterns := make([]string, len(names))
	for i := range names {
		patterns[i] = ir.PodsOf(names[i])
	}
	for _, at := range m.httpPorts(c, h) {
		key := ir.VirtualHostKey{RouteConfig: at.routeConfig(h), Host: ir.PodsOf(h.Name)}
		pods := ir.ClusterKey{Host: h.Name, Port: at.service.Port}.Pods()
		emit(VirtualHostKey{by.layer(), key}, &ir.VirtualHost{
			Key: key, Port: at.service.Port, Domains: patterns, Retry: mesh.Clients.Retry, NoAttempts: mesh.Dialect.NoAttempts,
			Rules: []ir.ResolvedRule{{Name: "default", Targets: []ir.Target{{Cluster: pods, Weight: 100}}}},
		})
	}
}

// portUse is what one host makes of a port.
type portUse struct{ HTTP, Pods, Bytes bool }

// portUses is the ports with a listener, and those of them with something in particular.
type portUses struct {
	all, http, pods, bytes *graph.Table[PortKey, struct{}]
}

func (u portUses) of(c *graph.Ctx, k PortKey) portUse {
	return portUse{HTTP: has(c, u.http, k), Pods: has(c, u.pods, k), Bytes: has(c, u.bytes, k)}
}

func has[K comparable](c *graph.Ctx, t *graph.Table[K, struct{}], k K) bool {
	_, ok := graph.Get(c, t, k)
	return ok
}

// portHost is a port that a host uses.
type portHost struct {
	Port PortKey
	Host string
}

func (k portHost) Compare(o portHost) int {
	return cmp.Or(k.Port.Compare(o.Port), cmp.Compare(k.Host, o.Host))
}

func (m *Model) derivePortUses(g *graph.Graph) portUses {
	uses := graph.Derive(g, "portUses", m.hosts, portHost.Compare,
		func(c *graph.Ctx, k scopeHost, h *ir.Host, emit func(portHost, portUse)) {
			for _, d := range m.dialled(c, h) {
				p := d.service.Protocol
				use := portUse{HTTP: p.IsHTTP() || h.Headless && p.MayBeHTTP(), Pods: h.Headless, Bytes: h.Headless && !p.IsHTTP()}
				if use != (portUse{}) {
					emit(portHost{PortKey{scopeLayer(k.Scope), d.dialled}, k.Host}, use)
				}
			}
		})
	strays := graph.NewIndex(g, "strays.ports", m.strays, PortKey.Compare,
		func(string, struct{}) []PortKey { return []PortKey{{ir.LayerMesh, strayPort}} }).Keys()
	ports := func(table string, has func(portUse) bool) *graph.Table[PortKey, struct{}] {
		return graph.NewIndex(g, table, uses, PortKey.Compare, func(k portHost, u portUse) []PortKey {
			if !has(u) {
				return nil
			}
			return []PortKey{k.Port}
		}).Keys()
	}
	return portUses{
		all:   graph.Union(g, "portUses.any", PortKey.Compare, ports("portUses.all", func(portUse) bool { return true }), strays),
		http:  graph.Union(g, "portUses.request", PortKey.Compare, ports("portUses.http", func(u portUse) bool { return u.HTTP }), strays),
		pods:  ports("portUses.pods", func(u portUse) bool { return u.Pods }),
		bytes: ports("portUses.bytes", func(u portUse) bool { return u.Bytes }),
	}
}

// podHostKey is a headless host's port as its pods have it.
type podHostKey struct {
	Port    PortKey
	Cluster ir.ClusterKey
}

func (k podHostKey) Compare(o podHostKey) int {
	return cmp.Or(k.Port.Compare(o.Port), k.Cluster.Compare(o.Cluster))
}

// derivePodPorts joins the pods of all headless hosts by the port that they serve
// on. A port without any has a table, too: its listener waits for one.
func (m *Model) derivePodPorts(g *graph.Graph, ports *graph.Table[PortKey, struct{}]) {
	hosts := graph.Derive(g, "podHosts", m.hosts, podHostKey.Compare,
		func(c *graph.Ctx, k scopeHost, h *ir.Host, emit func(podHostKey, *ir.PodHost)) {
			if !h.Headless {
				return
			}
			set, ok := graph.Get(c, m.EndpointSets, k.Host)
			if !ok {
				return
			}
			for _, d := range m.dialled(c, h) {
				if pods := podHost(h.Name, d, set); pods != nil {
					emit(podHostKey{PortKey{scopeLayer(k.Scope), d.dialled}, pods.Cluster}, pods)
				}
			}
		})
	byPort := graph.NewIndex(g, "podHosts.byPort", hosts, PortKey.Compare,
		func(k podHostKey, _ *ir.PodHost) []PortKey { return []PortKey{k.Port} })
	m.PodPorts = graph.Derive(g, "podPorts", ports, PortKey.Compare,
		func(c *graph.Ctx, k PortKey, _ struct{}, emit func(PortKey, *ir.PodPort)) {
			if !m.IsHeld(c, k.Layer) {
				return
			}
			rows := graph.Lookup(c, byPort, k)
			if k.Layer != ir.LayerMesh { // it hides everybody's table
				rows = append(slices.Clone(rows), graph.Lookup(c, byPort, k.shared())...)
			}
			out := &ir.PodPort{Port: k.Port}
			seen := map[netip.Addr]bool{}
			for _, r := range rows {
				out.Hosts = append(out.Hosts, firstOf(r.Value, seen))
			}
			emit(k, out)
		})
}

// podHost is the pods that can be dialled at a port: those that serve on it, or
// all if it is the Service's and not one of theirs.
func podHost(host string, at dialledPort, set *ir.EndpointSet) *ir.PodHost {
	out := &ir.PodHost{Cluster: ir.ClusterKey{Host: host, Port: at.service.Port}.Pods()}
	for i := range set.Backends {
		b := &set.Backends[i]
		target, ok := b.PortNumber(at.service.Name)
		if !ok || target != at.dialled && at.service.Port != at.dialled {
			continue
		}
		out.Pods = append(out.Pods, b.Addrs()...)
		if _, plain := slices.BinarySearch(b.Plain, target); b.TLS && !plain {
			out.Meshed = append(out.Meshed, b.Addrs()...)
		}
	}
	if len(out.Pods) == 0 {
		return nil
	}
	out.Pods, out.Meshed = eachOnce(out.Pods), eachOnce(out.Meshed)
	return out
}

// eachOnce is addresses in order: a pod is in two slices while it moves from one to the
// other.
func eachOnce(in []netip.Addr) []netip.Addr {
	slices.SortFunc(in, netip.Addr.Compare)
	return slices.Compact(in)
}

// firstOf is the pods that were not seen before.
func firstOf(in *ir.PodHost, seen map[netip.Addr]bool) ir.PodHost {
	out := ir.PodHost{Cluster: in.Cluster}
	for _, a := range in.Pods {
		if !seen[a] {
			seen[a] = true
			out.Pods = append(out.Pods, a)
			if _, meshed := slices.BinarySearchFunc(in.Meshed, a, netip.Addr.Compare); meshed {
				out.Meshed = append(out.Meshed, a)
			}
		}
	}
	return out
}
