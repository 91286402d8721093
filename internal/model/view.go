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
func (m *Model) deriveViews(g *graph.Graph, services *graph.Table[string, struct{}]) {
	names := graph.Union(g, "hostNames", strings.Compare, services, m.entryHosts.Keys())
	m.hosts = graph.Derive(g, "hosts", names, scopeHost.Compare, m.viewsOf)
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
	m.hostsByAddress = graph.NewIndex(g, "hosts.byAddress", m.hosts, netip.Addr.Compare,
		func(_ scopeHost, h *ir.Host) []netip.Addr { return h.VIPs })
}

// viewsOf decides between the definitions of a host: for everybody, and for each
// namespace that sees it otherwise.
func (m *Model) viewsOf(c *graph.Ctx, name string, _ struct{}, emit func(scopeHost, *ir.Host)) {
	var all []*definition
	if d, ok := graph.Get(c, m.serviceHosts, name); ok {
		all = append(all, &definition{m.aliased(c, d.Host), d.ExportTo})
	}
	for _, d := range graph.Each(c, m.entryHosts, name) {
		all = append(all, d)
	}
	if pods := m.podsOf(c, name); pods != nil {
		for _, d := range all {
			c.Report(outranked(d.Host.Origin, pods.Origin, name+" is the pods of "+pods.Name))
		}
		return
	}
	slices.SortStableFunc(all, func(a, b *definition) int { return before(a.Host, b.Host) })
	views := map[string][]*definition{}
	for _, scope := range scopesFor(all) {
		chosen := chooseDefinitions(all, scope)
		if len(chosen) > 0 && (scope == "" || !slices.Equal(chosen, views[""])) {
			views[scope] = chosen
			emit(scopeHost{scope, name}, joined(chosen))
		}
	}
	for _, d := range all {
		if winner := d.winner(views); winner != nil {
			c.Report(lostHost(d.Host, winner.Host))
		}
	}
}

// podsOf is the headless Service for whose pods a name stands, nil if there is none.
func (m *Model) podsOf(c *graph.Ctx, name string) *ir.Host {
	service, ok := strings.CutPrefix(name, ir.PodsOf(""))
	if !ok {
		return nil
	}
	if d, ok := graph.Get(c, m.serviceHosts, service); ok && d.Host.Headless {
		return d.Host
	}
	return nil
}

// Owner is the host to whose ports a name belongs: the name of a headless Service's pods
// is that of the Service.
func (m *Model) Owner(c *graph.Ctx, name string) string {
	if h := m.podsOf(c, name); h != nil {
		return h.Name
	}
	return name
}

// scopesFor is everybody, and the namespaces whose view may differ.
func scopesFor(all []*definition) []string {
	out := []string{""}
	for _, d := range all {
		out = append(out, d.Host.Namespace)
		if !d.ExportTo.All {
			out = append(out, d.ExportTo.Namespaces...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// winner is what counts in place of a definition: for everybody, if everybody was to
// see it, else wherever it is seen. That a namespace has its own is no loss.
func (d *definition) winner(views map[string][]*definition) *definition {
	if d.ExportTo.All {
		if chosen := views[""]; !slices.Contains(chosen, d) {
			return chosen[0]
		}
		return nil
	}
	var out *definition
	for _, ns := range d.ExportTo.Namespaces {
		chosen := views[ns]
		if len(chosen) == 0 {
			chosen = views[""]
		}
		if slices.Contains(chosen, d) {
			return nil
		}
		if out == nil {
			out = chosen[0]
		}
	}
	return out
}

// seenIn tells whether a scope sees a definition; "" sees what everybody does.
func (d *definition) seenIn(scope string) bool {
	return d.ExportTo.All || scope != "" && d.ExportTo.Sees(scope)
}

// chooseDefinitions is those that make a host as a scope sees it, from all in the
// order of their rights: a Service; else what the namespace itself says; else the
// first. ServiceEntries of one namespace that find their servers in the same way
// add up.
func chooseDefinitions(all []*definition, scope string) []*definition {
	var seen []*definition
	for _, d := range all {
		if d.seenIn(scope) {
			seen = append(seen, d)
		}
	}
	if len(seen) == 0 {
		return nil
	}
	first := seen[0]
	if own := slices.IndexFunc(seen, func(d *definition) bool { return d.Host.Namespace == scope }); own >= 0 && !first.isService() {
		first = seen[own]
	}
	out := []*definition{first}
	for _, d := range seen {
		if d != first && first.addsUp(d) {
			out = append(out, d)
		}
	}
	return out
}

func (d *definition) isService() bool { return d.Host.Origin.Kind == kindService }

// addsUp tells whether another definition of the host adds to this one and takes
// nothing away.
func (d *definition) addsUp(o *definition) bool {
	a, b := d.Host, o.Host
	if a.Namespace != b.Namespace {
		return false
	}
	if d.isService() {
		return len(b.Ports[0].Entry.SubjectAltNames) > 0
	}
	x, y := a.Ports[0].Entry, b.Ports[0].Entry
	if x.Resolution != y.Resolution || x.External != y.External {
		return false
	}
	return !slices.ContainsFunc(b.Ports, func(p ir.ServicePort) bool { _, taken := a.Port(p.Port); return taken })
}

// joined is a host by several definitions. What ServiceEntries add to a Service is
// the names in its servers' certificates.
func joined(chosen []*definition) *ir.Host {
	if len(chosen) == 1 {
		return chosen[0].Host
	}
	out := *chosen[0].Host
	for _, d := range chosen[1:] {
		h := d.Host
		if chosen[0].isService() {
			out.SubjectAltNames = slices.Concat(out.SubjectAltNames, h.Ports[0].Entry.SubjectAltNames)
			continue
		}
		for _, p := range h.Ports {
			if _, known := out.Port(p.Port); !known {
				out.Ports = append(slices.Clip(out.Ports), p)
			}
		}
		if out.Allocated == h.Allocated {
			out.VIPs = slices.Concat(out.VIPs, h.VIPs)
			out.Ranges = slices.Concat(out.Ranges, h.Ranges)
		}
	}
	slices.SortFunc(out.Ports, func(a, b ir.ServicePort) int { return cmp.Compare(a.Port, b.Port) })
	slices.SortFunc(out.VIPs, netip.Addr.Compare)
	out.VIPs = slices.Compact(out.VIPs)
	slices.SortFunc(out.Ranges, ir.ComparePrefix)
	out.Ranges = slices.Compact(out.Ranges)
	slices.Sort(out.SubjectAltNames)
	out.SubjectAltNames = slices.Compact(out.SubjectAltNames)
	return &out
}

// lostHost is the problem of a ServiceEntry whose host is somebody else's.
func lostHost(loser, winner *ir.Host) ir.Problem {
	switch {
	case winner.Origin.Kind == kindService:
		return outranked(loser.Origin, winner.Origin, "there is a Service "+winner.Name)
	case ir.Precedence(winner.Created, winner.Origin, loser.Created, loser.Origin) > 0:
		return outranked(loser.Origin, winner.Origin, "the namespaces that see it define the host "+loser.Name+" themselves")
	}
	return conflict(loser.Origin, winner.Origin, "another definition of the host "+loser.Name)
}

// outranked is the problem of an object that must give way, however old it is.
func outranked(loser, winner ir.Origin, why string) ir.Problem {
	return ir.Problem{
		Origin: loser, Condition: ir.Conflicted, Reason: "Outranked",
		Message: why + ", and it wins: " + winner.Object().String() + "; use another name",
	}
}

// maxAliases bounds how many aliases lead from one to the next, and ends those that
// lead in a circle.
const maxAliases = 8

// aliased is the host with the ports of the one that its alias leads to, if that is
// of the mesh and the alias's namespace may know it. Of what a port may carry,
// requests are told by the alias's name; all else comes to the other's address.
func (m *Model) aliased(c *graph.Ctx, h *ir.Host) *ir.Host {
	leads := h
	for range maxAliases {
		if leads.Alias == "" {
			break
		}
		d, ok := graph.Get(c, m.serviceHosts, strings.ToLower(strings.TrimSuffix(leads.Alias, ".")))
		if !ok || !d.ExportTo.Sees(h.Namespace) {
			return h
		}
		leads = d.Host
	}
	if leads == h || leads.Alias != "" {
		return h
	}
	out := *h
	out.Alias, out.Of, out.Near, out.Sticky, out.Ports = "", leads.Name, leads.Near, leads.Sticky, slices.Clone(leads.Ports)
	for i := range out.Ports {
		out.Ports[i].Protocol = carried(out.Ports[i].Protocol, false)
	}
	return &out
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

// of is the host that this one is an alias of in some views: those of the one Service
// of its name. To who does not see that, a ServiceEntry may say otherwise.
func (s hostScopes) of() string {
	if s.all != nil && s.all.Of != "" {
		return s.all.Of
	}
	for _, h := range s.narrow {
		if h.Of != "" {
			return h.Of
		}
	}
	return ""
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
