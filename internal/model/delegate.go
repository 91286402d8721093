// SPDX-License-Identifier: Apache-2.0

package model

import (
	"net/http"
	"slices"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// maxMerged bounds the pairs of matches that are merged for one rule, of which each
// may become a route.
const maxMerged = 1 << 14

// deriveDelegates puts rules of delegates in place of the rules that delegate to them.
// Routes without hosts have no effect of their own.
func (m *Model) deriveDelegates(g *graph.Graph) {
	m.delegators = graph.NewIndex(g, "routes.byDelegate", m.Routes.Table(), ir.ConfigKey.Compare,
		func(_ ir.ConfigKey, r *ir.Routes) []ir.ConfigKey {
			var out []ir.ConfigKey
			for i := range r.HTTP {
				if to := r.HTTP[i].Delegate; to != nil {
					out = append(out, *to)
				}
			}
			slices.SortFunc(out, ir.ConfigKey.Compare)
			return slices.Compact(out)
		}).Keys()
	m.merged = graph.Derive(g, "routesMerged", m.Routes.Table(), ir.ConfigKey.Compare,
		func(c *graph.Ctx, k ir.ConfigKey, r *ir.Routes, emit func(ir.ConfigKey, *ir.Routes)) {
			switch {
			case len(r.Hosts) == 0:
				return
			case !slices.ContainsFunc(r.HTTP, func(rule ir.Rule) bool { return rule.Delegate != nil }):
				emit(k, r)
				return
			}
			out := *r
			out.HTTP = nil
			for i := range r.HTTP {
				out.HTTP = append(out.HTTP, m.delegated(c, r, &r.HTTP[i])...)
			}
			emit(k, &out)
		})
}

// delegated is the rules that stand in place of a rule. Where there are none, requests
// must not go on to rules behind it, which were not meant for them.
func (m *Model) delegated(c *graph.Ctx, root *ir.Routes, rule *ir.Rule) []ir.Rule {
	if rule.Delegate == nil {
		return []ir.Rule{*rule}
	}
	fail := func(reason, what string) []ir.Rule {
		c.Report(unresolved(rule.Origin, reason, "spec."+rule.Origin.Section+".delegate", what+"; requests to this rule are answered with 500 until then"))
		return []ir.Rule{{Origin: rule.Origin, Name: rule.Name, Matches: rule.Matches, Direct: &ir.Direct{Status: http.StatusInternalServerError}}}
	}
	name := "VirtualService " + rule.Delegate.String()
	to, ok := graph.Get(c, m.Routes.Table(), *rule.Delegate)
	switch {
	case !ok:
		return fail("DelegateNotFound", "there is no "+name+" with rules to delegate to; create it or correct the name")
	case len(to.Hosts) > 0:
		return fail("DelegateHasHosts", name+" has hosts, so its rules are its own; remove its hosts or name another one")
	case !to.ExportTo.Sees(root.Origin.Namespace):
		return fail("DelegateNotExported", name+" is not exported to namespace "+root.Origin.Namespace+"; add that to its exportTo")
	}
	pairs := 0
	for i := range to.HTTP {
		pairs += max(1, len(rule.Matches)) * max(1, len(to.HTTP[i].Matches))
	}
	if pairs > maxMerged {
		return fail("DelegateTooLarge", "the matches of this rule and those of "+name+" make too many pairs; split one of the two")
	}
	var out []ir.Rule
	for i := range to.HTTP {
		if merged, ok := merge(c, rule, &to.HTTP[i]); ok {
			out = append(out, merged)
		}
	}
	return out
}

// merge is a delegate's rule for the requests of the rule that delegates to it. What
// it does not say itself, that one says.
func merge(c *graph.Ctx, root, to *ir.Rule) (out ir.Rule, ok bool) {
	out = *to
	if out.Matches, ok = within(c, root, to); !ok {
		return ir.Rule{}, false
	}
	switch {
	case out.Name == "":
		out.Name = root.Name
	case root.Name != "":
		out.Name = root.Name + "-" + out.Name
	}
	if out.Headers == nil {
		out.Headers = root.Headers
	}
	if out.Fault == nil {
		out.Fault = root.Fault
	}
	if out.CORS == nil {
		out.CORS = root.CORS
	}
	if len(out.Destinations) == 0 {
		return out, true // the rest is of requests that go on
	}
	if out.Rewrite == nil {
		out.Rewrite = root.Rewrite
	}
	if out.Timeout == 0 {
		out.Timeout = root.Timeout
	}
	if out.Retry == nil {
		out.Retry = root.Retry
	}
	if len(out.Mirrors) == 0 {
		out.Mirrors = root.Mirrors
	}
	return out, true
}

// within is the matches of a delegate's rule that ask for a part of what the root's
// rule takes. ok is false when none is left.
func within(c *graph.Ctx, root, to *ir.Rule) (out []ir.Match, ok bool) {
	switch {
	case len(root.Matches) == 0:
		return to.Matches, true
	case len(to.Matches) == 0:
		return root.Matches, true
	}
	field := ""
	for j := range to.Matches {
		fits, where := false, ""
		for i := range root.Matches {
			both, conflict, ok := ir.Narrow(&root.Matches[i], &to.Matches[j])
			if ok {
				out, fits = append(out, both), true
			} else if where == "" {
				where = conflict
			}
		}
		if !fits && field == "" {
			field = where
		}
	}
	if field != "" {
		c.Report(ir.Problem{
			Origin: to.Origin, Condition: ir.Conflicted, Reason: "OutsideRoot", Field: "spec." + to.Origin.Section + ".match",
			Message: "a match is left out, as its " + field + " asks for more than " + root.Origin.Section + " of " + root.Origin.Object().String() +
				" delegates, or cannot be compared with it; ask for a part of that",
		})
	}
	return out, len(out) > 0
}

// checkDelegated warns of routes that take no effect, as nobody delegates to them.
func (m *Model) checkDelegated(c *graph.Ctx, r *ir.Routes) {
	if _, used := graph.Get(c, m.delegators, ir.ConfigKey{Namespace: r.Origin.Namespace, Name: r.Origin.Name}); used {
		return
	}
	p := unresolved(r.Origin, "NobodyDelegates", "spec.hosts",
		"is empty, and no VirtualService delegates to this one, so its rules have no effect; add hosts, or name it in a delegate")
	p.Severity = ir.Warning
	c.Report(p)
}
