// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// kindService is the kind of the hosts of Kubernetes, which come before all others.
const kindService = "Service"

// kindSidecar is the kind of the objects that narrow what sidecars are told of.
const kindSidecar = "Sidecar"

// aliases is the short names of a host that is named like a Service. The bare name
// is valid in one namespace only.
func aliases(host, clusterDomain, namespace string) []string {
	qualified, ok := strings.CutSuffix(host, ".svc."+clusterDomain)
	if !ok {
		return nil
	}
	out := []string{qualified, qualified + ".svc"}
	if short, own, ok := strings.Cut(qualified, "."); ok && namespace == own {
		out = append(out, short)
	}
	return out
}

// homeOf is the namespace in which the bare name of a host is valid, "" if none.
func homeOf(host, clusterDomain string) string {
	qualified, ok := strings.CutSuffix(host, ".svc."+clusterDomain)
	_, home, _ := strings.Cut(qualified, ".")
	if !ok {
		return ""
	}
	return home
}

// domains is the names under which an application of a namespace, or of all, may ask
// for a host at a port. None is also another host's there: Envoy refuses all routes
// of a port if two hosts have a name in common.
func (m *Model) domains(c *graph.Ctx, mesh *ir.Mesh, scope string, h *ir.Host, port uint16) []string {
	if m.isAlias(c, mesh, scope, h, port) {
		return nil
	}
	out := []string{h.Name}
	for _, alias := range aliases(h.Name, mesh.ClusterDomain, scope) {
		if scope == "" || !m.isShared(c, h, alias, port) {
			out = append(out, alias)
		}
	}
	for _, vip := range h.VIPs {
		switch owner := m.ownerOf(c, scope, vip, port); {
		case owner == nil || owner.Name != h.Name:
		case vip.Is6():
			out = append(out, "["+vip.String()+"]")
		default:
			out = append(out, vip.String())
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// isAlias tells whether the name of a ServiceEntry's host is the short name of a
// Service that is seen as well. Then it means the Service, as it does in DNS.
func (m *Model) isAlias(c *graph.Ctx, mesh *ir.Mesh, scope string, h *ir.Host, port uint16) bool {
	name := strings.TrimSuffix(h.Name, ".svc")
	if h.Origin.Kind == kindService || strings.Count(name, ".") != 1 || strings.HasPrefix(name, "*") {
		return false
	}
	// A namespace's own view of the Service may lack a port that everybody's has.
	for _, s := range []string{scope, ""} {
		full, ok := m.host(c, s, name+".svc."+mesh.ClusterDomain)
		if !ok {
			continue
		}
		if m.isAsked(c, full, port) {
			c.Report(outranked(h.Origin, full.Origin, h.Name+" is a short name of "+full.Name))
			return true
		}
	}
	return false
}

// isShared tells whether a short name of a host that only some namespaces see is the
// name of a host that all see.
func (m *Model) isShared(c *graph.Ctx, h *ir.Host, alias string, port uint16) bool {
	if _, narrow := graph.Get(c, m.narrowHosts, h.Name); !narrow {
		return false
	}
	other, ok := graph.Get(c, m.hosts, scopeHost{"", alias})
	if !ok {
		return false
	}
	return m.isAsked(c, other, port)
}

// isAsked tells whether a host is asked for by its name, beside other hosts, at a port.
func (m *Model) isAsked(c *graph.Ctx, h *ir.Host, port uint16) bool {
	return slices.ContainsFunc(m.httpPorts(c, h), func(d dialledPort) bool {
		return d.routeConfig(h) == ir.OutboundRouteName(port)
	})
}

// ownerOf is the host that is meant when an address is called at a port: one that
// everybody sees comes before one that only the namespace sees, a Service before a
// ServiceEntry, and the older before the younger.
func (m *Model) ownerOf(c *graph.Ctx, scope string, addr netip.Addr, port uint16) *ir.Host {
	var out *ir.Host
	var narrow bool
	for k, h := range graph.Each(c, m.hostsByAddress, addr) {
		if k.Scope != "" && k.Scope != scope {
			continue
		}
		if _, has := h.Port(port); !has {
			continue
		}
		if out == nil || cmp.Or(compareBool(k.Scope != "", narrow), before(h, out)) < 0 {
			out, narrow = h, k.Scope != ""
		}
	}
	return out
}

// before is negative when the host a has the better right to what both want.
func before(a, b *ir.Host) int {
	return cmp.Or(
		compareBool(a.Origin.Kind != kindService, b.Origin.Kind != kindService),
		ir.Precedence(a.Created, a.Origin, b.Created, b.Origin),
		strings.Compare(a.Name, b.Name),
	)
}

// compareBool puts false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
