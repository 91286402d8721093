// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"reflect"
	"slices"
	"strings"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// deriveTokens decides which tokens each class looks at. Listeners depend on whether
// there are any, so that an edit of an issuer leaves them alone.
func (m *Model) deriveTokens(g *graph.Graph) {
	byPair := graph.NewIndex(g, "requestAuthentications.bySelector", m.RequestAuths.Table(), namespacePair.Compare,
		func(k ir.ConfigKey, r *ir.RequestAuthentication) []namespacePair {
			if len(r.Selector) == 0 {
				return []namespacePair{{Namespace: k.Namespace}}
			}
			return []namespacePair{{k.Namespace, r.Selector[0]}}
		})
	m.Tokens = graph.Derive(g, "tokens", m.Classes.Table(), strings.Compare,
		func(c *graph.Ctx, key string, class *ir.Class, emit func(string, *ir.Tokens)) {
			mesh, ok := m.settings(c)
			if !ok {
				return
			}
			namespaces := []string{class.Namespace}
			if class.Namespace != mesh.RootNamespace {
				namespaces = append(namespaces, mesh.RootNamespace)
			}
			var all []*ir.RequestAuthentication
			for _, namespace := range namespaces {
				for _, l := range append(ir.Labels{{}}, class.Labels...) {
					for _, r := range graph.Each(c, byPair, namespacePair{namespace, l}) {
						if class.Labels.Contains(r.Selector) {
							all = append(all, r)
						}
					}
				}
			}
			if len(all) > 0 {
				emit(key, tokens(c, class.Namespace, all))
			}
		})
	m.verifying = graph.NewIndex(g, "tokens.classes", m.Tokens, strings.Compare,
		func(key string, _ *ir.Tokens) []string { return []string{key} }).Keys()
}

// tokens puts the rules of all objects that hold for a workload together. Of two for one
// issuer the narrower decides: that of the workload's own namespace, with a selector,
// then the older.
func tokens(c *graph.Ctx, namespace string, all []*ir.RequestAuthentication) *ir.Tokens {
	far := func(r *ir.RequestAuthentication) int {
		out := 0
		if r.Origin.Namespace != namespace {
			out += 2
		}
		if len(r.Selector) == 0 {
			out++
		}
		return out
	}
	slices.SortFunc(all, func(a, b *ir.RequestAuthentication) int {
		return cmp.Or(cmp.Compare(far(a), far(b)), ir.Precedence(a.Created, a.Origin, b.Created, b.Origin))
	})
	out := &ir.Tokens{}
	for _, r := range all {
		out.Origins = append(out.Origins, r.Origin)
		for i := range r.Rules {
			addTokens(c, out, &r.Rules[i])
		}
	}
	slices.SortFunc(out.Rules, func(a, b ir.TokenRule) int { return strings.Compare(a.Issuer, b.Issuer) })
	slices.SortFunc(out.Origins, ir.Origin.Compare)
	return out
}

// addTokens adds the rule of an issuer. A proxy knows one rule for each: a second one
// can only add audiences.
func addTokens(c *graph.Ctx, out *ir.Tokens, rule *ir.TokenRule) {
	i := slices.IndexFunc(out.Rules, func(o ir.TokenRule) bool { return o.Issuer == rule.Issuer })
	switch {
	case i < 0:
		out.Rules = append(out.Rules, *rule)
	case !differsInAudiences(&out.Rules[i], rule):
		c.Report(ir.Problem{
			Origin: rule.Origin, Condition: ir.Conflicted, Reason: "SameIssuer", Field: "spec." + rule.Origin.Section + ".issuer",
			Message: "has no effect where " + out.Rules[i].Origin.Section + " of " + out.Rules[i].Origin.Object().String() +
				" holds as well: it is for the same issuer, and comes first; remove one of the two or merge them",
		})
	case len(out.Rules[i].Audiences) == 0 || len(rule.Audiences) == 0:
		out.Rules[i].Audiences = nil
	default:
		both := slices.Concat(out.Rules[i].Audiences, rule.Audiences)
		slices.Sort(both)
		out.Rules[i].Audiences = slices.Compact(both)
	}
}

// differsInAudiences tells whether two rules say the same of all but for whom tokens are.
func differsInAudiences(a, b *ir.TokenRule) bool {
	x, y := *a, *b
	x.Origin, x.Audiences, y.Origin, y.Audiences = ir.Origin{}, nil, ir.Origin{}, nil
	return reflect.DeepEqual(x, y)
}

// ChoosesByClaims tells whether a class of gateway proxies has routes that look at claims.
func (m *Model) ChoosesByClaims(c *graph.Ctx, class string) bool { return has(c, m.claimed, class) }

func asksForClaims(r ir.ResolvedRule) bool {
	return slices.ContainsFunc(r.Matches, func(x ir.Match) bool { return x.AsksForClaims() })
}

// checkClaims warns of rules that look at claims where no token is verified: there, no
// request has any.
func (m *Model) checkClaims(c *graph.Ctx, key string, class *ir.Class, rules []ir.ResolvedRule) {
	for i := range rules {
		if !asksForClaims(rules[i]) || has(c, m.verifying, key) {
			continue
		}
		p := unresolved(rules[i].Origin, "TokensNotVerified", "spec."+rules[i].Origin.Section+".match",
			"no RequestAuthentication selects the gateway "+class.Workload+" in namespace "+class.Namespace+
				", so that no request there has claims; create one, there or in the root namespace")
		p.Severity = ir.Warning
		c.Report(p)
	}
}
