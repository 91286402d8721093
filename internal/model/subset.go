// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"strings"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// subsetName is a subset of a host, whoever defines it.
type subsetName struct{ Host, Name string }

func (k subsetName) Compare(o subsetName) int {
	return cmp.Or(strings.Compare(k.Host, o.Host), strings.Compare(k.Name, o.Name))
}

// seenSubset is a subset as somebody sees it.
type seenSubset struct {
	Seen seenHost
	Name string
}

func (k seenSubset) Compare(o seenSubset) int {
	return cmp.Or(k.Seen.Compare(o.Seen), strings.Compare(k.Name, o.Name))
}

// weighed is the routes of an object that are in effect.
type weighed struct {
	Routes *ir.Routes
	Good   bool // every subset that they name existed when they came into effect
}

// deriveSubsets decides what is in effect while routes and subsets do not fit
// together, so that the two can be changed one after the other, in either order,
// and no request fails in between:
//
//   - Routes that name a subset which nobody defines wait. What their object said
//     before, when all its subsets existed, stays in effect. An object that never
//     was good takes effect as it is, and the share of that subset is answered 503.
//   - A subset that is not defined any more stays as it was until no routes in
//     effect name it.
//
// Only what was in effect before can stay, so a control plane that starts at such a
// moment takes both objects as they are.
func (m *Model) deriveSubsets(g *graph.Graph) {
	subsets := graph.Derive(g, "subsets", m.choices, seenSubset.Compare,
		func(c *graph.Ctx, k seenHost, ch choice, emit func(seenSubset, *ir.Subset)) {
			if p := m.policyOf(c, ch); p != nil {
				for i := range p.Subsets {
					emit(seenSubset{k, p.Subsets[i].Name}, &p.Subsets[i])
				}
			}
		})
	m.defined = graph.NewIndex(g, "subsets.byName", subsets, subsetName.Compare,
		func(k seenSubset, _ *ir.Subset) []subsetName { return []subsetName{{k.Seen.Host, k.Name}} }).Keys()
	all := graph.Derive(g, "routesWeighed", m.merged, ir.ConfigKey.Compare, m.weigh)
	m.settled = graph.Derive(g, "routesSettled", graph.Union(g, "routesSettled.keys", ir.ConfigKey.Compare, keys(g, all), keys(g, m.ingressRoutes)),
		ir.ConfigKey.Compare,
		func(c *graph.Ctx, k ir.ConfigKey, _ struct{}, emit func(ir.ConfigKey, *ir.Routes)) {
			if w, ok := graph.Get(c, all, k); ok {
				emit(k, w.Routes)
			} else if r, ok := graph.Get(c, m.ingressRoutes, k); ok {
				emit(k, r)
			}
		})
	named := graph.NewIndex(g, "routes.bySubset", m.settled, subsetName.Compare,
		func(_ ir.ConfigKey, r *ir.Routes) []subsetName {
			var out []subsetName
			for d := range r.Named() {
				if d.Subset != "" {
					out = append(out, subsetName{d.Host, d.Subset})
				}
			}
			return out
		})
	m.lent = graph.Derive(g, "subsetsNamed", named.Keys(), seenSubset.Compare,
		func(c *graph.Ctx, k subsetName, _ struct{}, emit func(seenSubset, *ir.Subset)) {
			before := map[seenSubset]*ir.Subset{}
			for _, row := range graph.Standing[seenSubset, *ir.Subset](c) {
				before[row.Key] = row.Value
			}
			for at, ch := range graph.Each(c, m.scopes, k.Host) {
				key := seenSubset{at, k.Name}
				if s, ok := graph.Get(c, subsets, key); ok {
					emit(key, s)
				} else if s := before[key]; s != nil {
					emit(key, s)
					m.reportLent(c, ch, k, graph.Lookup(c, named, k))
				}
			}
		})
	m.lentTo = graph.NewIndex(g, "subsetsNamed.byHost", m.lent, seenHost.Compare,
		func(k seenSubset, _ *ir.Subset) []seenHost { return []seenHost{k.Seen} })
}

// keys is the keys of a table.
func keys[V any](g *graph.Graph, t *graph.Table[ir.ConfigKey, V]) *graph.Table[ir.ConfigKey, struct{}] {
	return graph.NewIndex(g, t.Name()+".keys", t, ir.ConfigKey.Compare, func(k ir.ConfigKey, _ V) []ir.ConfigKey { return []ir.ConfigKey{k} }).Keys()
}

func (m *Model) weigh(c *graph.Ctx, k ir.ConfigKey, r *ir.Routes, emit func(ir.ConfigKey, *weighed)) {
	missing, good := m.undefined(c, r)
	if missing == nil {
		emit(k, &weighed{Routes: r, Good: good})
		return
	}
	for _, row := range graph.Standing[ir.ConfigKey, *weighed](c) {
		if row.Value.Good {
			emit(k, row.Value)
			c.Report(ir.Problem{
				Origin: r.Origin, Condition: ir.Programmed, Reason: "WaitsForSubset",
				Message: "what this object said when all its subsets existed stays in effect, as no DestinationRule for " +
					missing.Host + " has the subset " + missing.Name + "; add it to one",
			})
			return
		}
	}
	emit(k, &weighed{Routes: r})
}

// undefined is the first subset that routes name, of a host that exists, and that
// nobody's policies define. all tells whether every subset exists, with its host.
func (m *Model) undefined(c *graph.Ctx, r *ir.Routes) (missing *subsetName, all bool) {
	all = true
	for d := range r.Named() {
		k := subsetName{d.Host, d.Subset}
		if d.Subset == "" {
			continue
		}
		if _, ok := graph.Get(c, m.hostNames, d.Host); !ok {
			all = false
			continue
		}
		if _, ok := graph.Get(c, m.defined, k); !ok {
			return &k, false
		}
	}
	return nil, all
}

func (m *Model) reportLent(c *graph.Ctx, ch choice, k subsetName, users []graph.Row[ir.ConfigKey, *ir.Routes]) {
	for _, p := range m.policies(c, ch) {
		c.Report(ir.Problem{
			Origin: p.Origin, Condition: ir.Programmed, Severity: ir.Warning, Reason: "SubsetStillNamed",
			Message: "the subset " + k.Name + ", which no DestinationRule for " + k.Host + " has any more, stays as it was while " +
				users[0].Value.Origin.String() + " names it; remove it there",
		})
		return // the one that decides
	}
}

// stays is a subset that stays only because routes name it.
func (m *Model) stays(c *graph.Ctx, at seenHost, name string) (*ir.Subset, bool) {
	return graph.Get(c, m.lent, seenSubset{at, name})
}
