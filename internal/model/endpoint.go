// SPDX-License-Identifier: Apache-2.0

package model

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// sliceBackends is what one EndpointSlice adds to its host.
type sliceBackends struct {
	Host     string
	Ports    []ir.SlicePort
	Backends []ir.Backend
	Pods     []ir.ObjectKey // of the backends, in their order; zero: none
}

func (m *Model) deriveEndpoints(g *graph.Graph) {
	m.pods = graph.Derive(g, "pods.placed", m.Pods.Table(), ir.ObjectKey.Compare,
		func(_ *graph.Ctx, k ir.ObjectKey, p *ir.Pod, emit func(ir.ObjectKey, *ir.Pod)) {
			placed := *p
			placed.Addr, placed.Also = netip.Addr{}, netip.Addr{} // slices say it
			emit(k, &placed)
		})
	backends := graph.Derive(g, "backends", m.Slices.Table(), ir.ObjectKey.Compare,
		func(c *graph.Ctx, k ir.ObjectKey, s *ir.EndpointSlice, emit func(ir.ObjectKey, *sliceBackends)) {
			mesh, ok := m.settings(c)
			if !ok {
				return
			}
			out := &sliceBackends{
				Host:  s.Service.Name + "." + s.Service.Namespace + ".svc." + mesh.ClusterDomain,
				Ports: s.Ports,
			}
			d, _ := graph.Get(c, m.serviceHosts, out.Host)
			for i := range s.Endpoints {
				e := &s.Endpoints[i]
				b, known := m.backend(c, mesh, s, e)
				b.Unready = !e.Ready && !e.Terminating && !b.Presumed
				if known && (!b.Unready || d != nil && d.Host.Headless) {
					out.Backends = append(out.Backends, b)
					out.Pods = append(out.Pods, podOf(s, e))
				}
			}
			emit(k, out)
		})
	byHost := graph.NewIndex(g, "backends.byHost", backends, strings.Compare,
		func(_ ir.ObjectKey, b *sliceBackends) []string { return []string{b.Host} })
	m.EndpointSets = graph.Derive(g, "endpointSets", byHost.Keys(), strings.Compare,
		func(c *graph.Ctx, host string, _ struct{}, emit func(string, *ir.EndpointSet)) {
			d, ok := graph.Get(c, m.serviceHosts, host)
			set := endpointSet(host, graph.Lookup(c, byHost, host), ok && d.Host.IPv6First)
			m.addWorkloads(c, host, set)
			emit(host, set)
		})
	m.Identities = graph.Derive(g, "identities", m.EndpointSets, strings.Compare,
		func(_ *graph.Ctx, host string, s *ir.EndpointSet, emit func(string, *ir.HostIdentity)) {
			if ids := identities(s); len(ids) > 0 {
				emit(host, &ir.HostIdentity{Host: host, Identities: ids})
			}
		})
	m.targetPorts = graph.Derive(g, "targetPorts", byHost.Keys(), strings.Compare,
		func(c *graph.Ctx, host string, _ struct{}, emit func(string, *ir.TargetPorts)) {
			d, ok := graph.Get(c, m.serviceHosts, host)
			if !ok {
				return
			}
			emit(host, targetPorts(d.Host, graph.Lookup(c, byHost, host)))
		})
}

// backend is what an endpoint is. It is not known while its pod is not: slices and
// pods are watched apart, and until the pod is there nobody can say whether it
// takes plaintext and whose identity it has. A guess would fail requests.
func (m *Model) backend(c *graph.Ctx, mesh *ir.Mesh, s *ir.EndpointSlice, e *ir.SliceEndpoint) (b ir.Backend, known bool) {
	b = ir.Backend{Addr: e.Addr, Ports: s.Ports, Cluster: s.Key.Cluster, Draining: e.Terminating && !e.Ready}
	if n, ok := graph.Get(c, m.Nodes.Table(), ir.NodeKey{Cluster: s.Key.Cluster, Name: e.Node}); ok {
		b.Locality = n.Locality
	}
	if e.Pod == "" {
		return b, true
	}
	pod, ok := graph.Get(c, m.pods, podOf(s, e))
	if !ok {
		return b, false
	}
	b.Labels, b.Network = pod.Labels, pod.Network
	// The pod's own word counts too: after an API server was away, one of the two
	// watches can be a minute behind the other, and a slice that repeats what a
	// silent node made of its pods must not empty the host meanwhile.
	b.Presumed = pod.Readiness != ir.Unready && !e.Ready && !e.Terminating
	b.Identity = ir.SPIFFE(mesh.TrustDomain, pod.Key.Namespace, pod.ServiceAccount)
	if !pod.Meshed {
		return b, true
	}
	m.secure(c, mesh, pod.Key.Namespace, &b)
	return b, true
}

// podOf is the pod of an endpoint, zero for one without.
func podOf(s *ir.EndpointSlice, e *ir.SliceEndpoint) ir.ObjectKey {
	if e.Pod == "" {
		return ir.ObjectKey{}
	}
	return ir.ObjectKey{Cluster: s.Key.Cluster, Namespace: s.Key.Namespace, Name: e.Pod}
}

// secure says which ports of a backend with a proxy take mutual TLS.
func (m *Model) secure(c *graph.Ctx, mesh *ir.Mesh, namespace string, b *ir.Backend) {
	if !m.mayDisable(c, mesh.RootNamespace, namespace) {
		b.TLS = true
		return
	}
	accepts := m.accepts(c, mesh.RootNamespace, namespace, b.Labels)
	for _, p := range b.Ports {
		if accepts.mode(p.Port) == ir.MTLSDisable {
			b.Plain = append(b.Plain, p.Port)
		} else {
			b.TLS = true
		}
	}
	slices.Sort(b.Plain)
}

// addWorkloads adds the WorkloadEntries that the selectors of a host's Services fit.
func (m *Model) addWorkloads(c *graph.Ctx, host string, set *ir.EndpointSet) {
	mesh, ok := m.settings(c)
	d, known := graph.Get(c, m.serviceHosts, host)
	if !ok || !known {
		return
	}
	if _, has := graph.Get(c, m.workloadNamespaces, d.Host.Namespace); !has {
		return
	}
	before := len(set.Backends)
	for _, s := range graph.Each(c, m.servicesByHost, host) {
		for _, w := range m.workloads(c, s.Key.Namespace, s.Selector) {
			if w.Name != "" {
				c.Report(unreachable(w, d.Host.Origin))
				continue
			}
			set.Backends = append(set.Backends, m.workloadBackend(c, mesh, s.Key.Namespace, w, s.Ports))
		}
	}
	if len(set.Backends) > before {
		sortBackends(set)
	}
}

// endpointSet joins the slices. Which of the addresses count is decided cluster by
// cluster: a subset may have none that is ready while its host has. A pod of both
// families is in slices of both, and is one server.
func endpointSet(host string, rows []graph.Row[ir.ObjectKey, *sliceBackends], six bool) *ir.EndpointSet {
	set := &ir.EndpointSet{Host: host}
	first, second := podsOfFamily(rows, six), podsOfFamily(rows, !six)
	for _, row := range rows {
		for i, pod := range row.Value.Pods {
			b := row.Value.Backends[i]
			if b.Addr.Is6() == six {
				b.Also = second[pod]
			} else if first[pod].IsValid() {
				continue
			}
			set.Backends = append(set.Backends, b)
		}
	}
	slices.SortStableFunc(set.Backends, func(a, b ir.Backend) int { return a.Addr.Compare(b.Addr) })
	return set
}

// podsOfFamily is the pods with an address of a family, nil where no backend has one of
// the other family.
func podsOfFamily(rows []graph.Row[ir.ObjectKey, *sliceBackends], six bool) map[ir.ObjectKey]netip.Addr {
	other := func(b ir.Backend) bool { return b.Addr.Is6() != six }
	if !slices.ContainsFunc(rows, func(r graph.Row[ir.ObjectKey, *sliceBackends]) bool {
		return slices.ContainsFunc(r.Value.Backends, other)
	}) {
		return nil
	}
	out := map[ir.ObjectKey]netip.Addr{}
	for _, row := range rows {
		for i, pod := range row.Value.Pods {
			if b := &row.Value.Backends[i]; pod != (ir.ObjectKey{}) && !other(*b) && !out[pod].IsValid() {
				out[pod] = b.Addr
			}
		}
	}
	return out
}

func identities(s *ir.EndpointSet) []string {
	var out []string
	for i := range s.Backends {
		if id := s.Backends[i].Identity; id != "" && s.Backends[i].TLS {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func targetPorts(h *ir.Host, rows []graph.Row[ir.ObjectKey, *sliceBackends]) *ir.TargetPorts {
	out := &ir.TargetPorts{Host: h.Name}
	for _, row := range rows {
		for _, sp := range row.Value.Ports {
			for _, p := range h.Ports {
				if p.Name == sp.Name {
					out.Ports = append(out.Ports, ir.TargetPort{Port: p.Port, Target: sp.Port})
				}
			}
		}
	}
	slices.SortFunc(out.Ports, func(a, b ir.TargetPort) int {
		if a.Port != b.Port {
			return int(a.Port) - int(b.Port)
		}
		return int(a.Target) - int(b.Target)
	})
	out.Ports = slices.Compact(out.Ports)
	return out
}
