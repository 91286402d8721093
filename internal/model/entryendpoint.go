// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"slices"
	"strings"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// selectedPod is a pod that serves the hosts of a ServiceEntry.
type selectedPod struct {
	Entry ir.ConfigKey
	Pod   ir.ObjectKey
}

func (k selectedPod) Compare(o selectedPod) int {
	return cmp.Or(k.Entry.Compare(o.Entry), k.Pod.Compare(o.Pod))
}

// deriveSelectors makes the indices by which selectors find workloads.
func (m *Model) deriveSelectors(g *graph.Graph) {
	m.entriesByPair = graph.NewIndex(g, "serviceEntries.bySelector", m.ServiceEntries.Table(), namespacePair.Compare,
		func(k ir.ConfigKey, e *ir.ServiceEntry) []namespacePair {
			if len(e.Selector) == 0 {
				return nil
			}
			return []namespacePair{{Namespace: k.Namespace, Pair: e.Selector[0]}}
		})
	m.entrySelectors = graph.NewIndex(g, "serviceEntries.selecting", m.ServiceEntries.Table(), strings.Compare,
		func(k ir.ConfigKey, e *ir.ServiceEntry) []string {
			if len(e.Selector) == 0 {
				return nil
			}
			return []string{k.Namespace}
		}).Keys()
	m.workloadsByPair = graph.NewIndex(g, "workloadEntries.byLabel", m.WorkloadEntries.Table(), namespacePair.Compare,
		func(k ir.ConfigKey, w *ir.Workload) []namespacePair {
			out := make([]namespacePair, len(w.Labels))
			for i, l := range w.Labels {
				out[i] = namespacePair{Namespace: k.Namespace, Pair: l}
			}
			return out
		})
	m.workloadNamespaces = graph.NewIndex(g, "workloadEntries.byNamespace", m.WorkloadEntries.Table(), strings.Compare,
		func(k ir.ConfigKey, _ *ir.Workload) []string { return []string{k.Namespace} }).Keys()
}

// deriveEntryEndpoints makes what serves the hosts of ServiceEntries.
func (m *Model) deriveEntryEndpoints(g *graph.Graph) {
	pods := graph.Derive(g, "selectedPods", m.Pods.Table(), selectedPod.Compare, m.selectedPods)
	byEntry := graph.NewIndex(g, "selectedPods.byEntry", pods, ir.ConfigKey.Compare,
		func(k selectedPod, _ *ir.Backend) []ir.ConfigKey { return []ir.ConfigKey{k.Entry} })
	m.EntrySets = graph.Derive(g, "entrySets", m.ServiceEntries.Table(), ir.ConfigKey.Compare,
		func(c *graph.Ctx, k ir.ConfigKey, e *ir.ServiceEntry, emit func(ir.ConfigKey, *ir.EndpointSet)) {
			mesh, ok := m.settings(c)
			if !ok {
				return
			}
			set := &ir.EndpointSet{Host: k.String()}
			for i := range e.Endpoints {
				set.Backends = append(set.Backends, m.workloadBackend(c, mesh, k.Namespace, &e.Endpoints[i], e.Ports))
			}
			if len(e.Selector) > 0 {
				for _, w := range m.workloads(c, k.Namespace, e.Selector) {
					if w.Name != "" && e.Resolution == ir.ResolveStatic {
						c.Report(unreachable(w, e.Origin))
						continue
					}
					set.Backends = append(set.Backends, m.workloadBackend(c, mesh, k.Namespace, w, e.Ports))
				}
				for _, b := range graph.Each(c, byEntry, k) {
					set.Backends = append(set.Backends, *b)
				}
			}
			for i := range set.Backends {
				if e.External {
					set.Backends[i].TLS = false
				}
			}
			sortBackends(set)
			emit(k, set)
		})
	m.entryIdentities = graph.Derive(g, "entryIdentities", m.EntrySets, ir.ConfigKey.Compare,
		func(_ *graph.Ctx, k ir.ConfigKey, s *ir.EndpointSet, emit func(ir.ConfigKey, *ir.HostIdentity)) {
			if ids := identities(s); len(ids) > 0 {
				emit(k, &ir.HostIdentity{Host: s.Host, Identities: ids})
			}
		})
}

// selectedPods is which ServiceEntries a pod serves. Pods of namespaces in which no
// ServiceEntry selects anything read nothing more.
func (m *Model) selectedPods(c *graph.Ctx, k ir.ObjectKey, pod *ir.Pod, emit func(selectedPod, *ir.Backend)) {
	if _, selecting := graph.Get(c, m.entrySelectors, k.Namespace); !selecting || !pod.Addr.IsValid() {
		return
	}
	mesh, ok := m.settings(c)
	if !ok || pod.Readiness == ir.Unready {
		return
	}
	for _, l := range pod.Labels {
		for entry, e := range graph.Each(c, m.entriesByPair, namespacePair{Namespace: k.Namespace, Pair: l}) {
			if !pod.Labels.Contains(e.Selector) {
				continue
			}
			b := &ir.Backend{
				Addr: pod.Addr, Also: pod.Also, Ports: targetsOf(e.Ports, nil), Labels: pod.Labels, Network: pod.Network,
				Identity: ir.SPIFFE(mesh.TrustDomain, k.Namespace, pod.ServiceAccount), Presumed: pod.Readiness == ir.Presumed,
			}
			if n, ok := graph.Get(c, m.Nodes.Table(), ir.NodeKey{Cluster: k.Cluster, Name: pod.Node}); ok {
				b.Locality = n.Locality
			}
			if pod.Meshed {
				m.secure(c, mesh, k.Namespace, b)
			}
			emit(selectedPod{entry, k}, b)
		}
	}
}

// workloads is the WorkloadEntries of a namespace that a selector fits and that may be
// called, by name.
func (m *Model) workloads(c *graph.Ctx, namespace string, selector ir.Labels) []*ir.Workload {
	if len(selector) == 0 {
		return nil
	}
	if _, has := graph.Get(c, m.workloadNamespaces, namespace); !has {
		return nil
	}
	var out []*ir.Workload
	for k, w := range graph.Each(c, m.workloadsByPair, namespacePair{Namespace: namespace, Pair: selector[0]}) {
		if w.Labels.Contains(selector) && m.healthy(c, k, w) {
			out = append(out, w)
		}
	}
	return out
}

// healthy tells whether a workload may be called: one that is probed must have passed.
func (m *Model) healthy(c *graph.Ctx, k ir.ConfigKey, w *ir.Workload) bool {
	if !w.Probed {
		return true
	}
	h, known := graph.Get(c, m.WorkloadHealths.Table(), k)
	return known && h.Healthy
}

// workloadBackend is a workload that serves ports.
func (m *Model) workloadBackend(c *graph.Ctx, mesh *ir.Mesh, namespace string, w *ir.Workload, ports []ir.ServicePort) ir.Backend {
	b := ir.Backend{
		Addr: w.Addr, Name: w.Name, Ports: targetsOf(ports, w.Ports), Labels: w.Labels,
		Network: w.Network, Cluster: mesh.ClusterID, Locality: w.Locality, Weight: w.Weight,
	}
	if w.ServiceAccount != "" {
		b.Identity = ir.SPIFFE(mesh.TrustDomain, namespace, w.ServiceAccount)
	}
	if w.Meshed {
		m.secure(c, mesh, namespace, &b)
	}
	return b
}

// unreachable is the problem of a workload with a name where only addresses serve.
func unreachable(w *ir.Workload, by ir.Origin) ir.Problem {
	return ir.Problem{
		Origin: w.Origin, Condition: ir.Programmed, Severity: ir.Warning, Reason: "AddressNeeded", Field: "spec.address",
		Message: by.String() + " selects it, and does not reach a name; give an IP address, or select it by a ServiceEntry with resolution DNS",
	}
}

// targetsOf is the numbers behind ports: those that a workload has of its own, else
// those of the ports.
func targetsOf(ports []ir.ServicePort, own []ir.SlicePort) []ir.SlicePort {
	out := make([]ir.SlicePort, len(ports))
	for i, p := range ports {
		out[i] = ir.SlicePort{Name: p.Name, Port: targetOf(&p, own)}
	}
	slices.SortFunc(out, func(a, b ir.SlicePort) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Port, b.Port)) })
	return out
}

// targetOf is the number behind one port.
func targetOf(p *ir.ServicePort, own []ir.SlicePort) uint16 {
	for _, o := range own {
		if o.Name == p.Name {
			return o.Port
		}
	}
	return cmp.Or(p.Target, p.Port)
}

// sortBackends orders a set, and keeps the first of what is in it twice.
func sortBackends(set *ir.EndpointSet) {
	slices.SortStableFunc(set.Backends, func(a, b ir.Backend) int {
		return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Name, b.Name))
	})
}
