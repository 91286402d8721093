// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"slices"
	"strings"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// scopeHost is a host as the clients of a namespace see it; the scope "" is
// everybody whose namespace has no view of its own.
type scopeHost struct {
	Scope string
	Host  string
}

func (k scopeHost) Compare(o scopeHost) int {
	return cmp.Or(strings.Compare(k.Scope, o.Scope), strings.Compare(k.Host, o.Host))
}

func scopeLayer(scope string) ir.Layer {
	if scope == "" {
		return ir.LayerMesh
	}
	return ir.NamespaceLayer(scope)
}

// definition is what one place says of a host, and who may know it.
type definition struct {
	Host     *ir.Host
	ExportTo ir.Visibility
}

// deriveViews makes the hosts as namespaces see them. A host that is exported to
// everybody has one row, in the scope "". A namespace that sees another definition
// than everybody does, or one that nobody else sees, has a row of its own.
func (m *Model) deriveViews(g *graph.Graph) {
	m.hosts = graph.Derive(g, "hosts", m.serviceHosts, scopeHost.Compare,
		func(_ *graph.Ctx, name string, d *definition, emit func(scopeHost, *ir.Host)) {
			if d.ExportTo.All {
				emit(scopeHost{"", name}, d.Host)
				return
			}
			for _, ns := range d.ExportTo.Namespaces {
				emit(scopeHost{ns, name}, d.Host)
			}
		})
	m.hostViews = graph.NewIndex(g, "hosts.byName", m.hosts, strings.Compare,
		func(k scopeHost, _ *ir.Host) []string { return []string{k.Host} })
	m.hostNames = m.hostViews.Keys()
	m.narrowHosts = graph.NewIndex(g, "hosts.narrow", m.hosts, strings.Compare,
		func(k scopeHost, _ *ir.Host) []string {
			if k.Scope == "" {
				return nil
			}
			return []string{k.Host}
		}).Keys()
	m.hostsByTail = graph.NewIndex(g, "hosts.byTail", m.hostNames, strings.Compare,
		func(name string, _ struct{}) []string { return wildcards(name) })
}

// host is a host as a namespace sees it; "" is everybody.
func (m *Model) host(c *graph.Ctx, namespace, name string) (*ir.Host, bool) {
	if namespace != "" {
		// Most hosts have no narrow view; asking for each by namespace would make the
		// engine remember every pair.
		if _, narrow := graph.Get(c, m.narrowHosts, name); narrow {
			if h, ok := graph.Get(c, m.hosts, scopeHost{namespace, name}); ok {
				return h, true
			}
		}
	}
	return graph.Get(c, m.hosts, scopeHost{"", name})
}

// narrowViews is the namespaces that see a host in their own way.
func (m *Model) narrowViews(c *graph.Ctx, name string) []string {
	if _, narrow := graph.Get(c, m.narrowHosts, name); !narrow {
		return nil
	}
	return m.scopesOf(c, name).namespaces()
}

// hostScopes is all views of one host.
type hostScopes struct {
	all    *ir.Host // nil: not everybody sees it
	narrow map[string]*ir.Host
}

func (m *Model) scopesOf(c *graph.Ctx, name string) hostScopes {
	out := hostScopes{narrow: map[string]*ir.Host{}}
	for k, h := range graph.Each(c, m.hostViews, name) {
		if k.Scope == "" {
			out.all = h
		} else {
			out.narrow[k.Scope] = h
		}
	}
	return out
}

// in is the host as a namespace sees it, nil if it does not.
func (s hostScopes) in(namespace string) *ir.Host {
	if h, ok := s.narrow[namespace]; ok {
		return h
	}
	return s.all
}

// has tells whether the host is such in anybody's view.
func (s hostScopes) has(such func(*ir.Host) bool) bool {
	if s.all != nil && such(s.all) {
		return true
	}
	for _, h := range s.narrow {
		if such(h) {
			return true
		}
	}
	return false
}

// namespaces is those that have a view of their own, sorted.
func (s hostScopes) namespaces() []string {
	out := make([]string, 0, len(s.narrow))
	for ns := range s.narrow {
		out = append(out, ns)
	}
	slices.Sort(out)
	return out
}

// activeIn tells whether a namespace has sidecars, for which its views are worth making.
func (m *Model) activeIn(c *graph.Ctx, namespace string) bool {
	_, ok := graph.Get(c, m.namespaces, namespace)
	return ok
}
