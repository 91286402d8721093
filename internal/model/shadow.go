// SPDX-License-Identifier: Apache-2.0

package model

import (
	"slices"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// maxCompared bounds the matches that are compared for one host.
const maxCompared = 1 << 16

// shadows is what was told of a host: the winner by the rule that has no effect. The
// view of a namespace need not repeat what everybody's says.
type shadows map[ir.Origin]ir.Origin

// report tells of rules of a host to which rules of other objects, which come first,
// leave no request. What an object does to itself, its projection has said.
func (s shadows) report(c *graph.Ctx, host, namespace string, rules []ir.ResolvedRule) {
	compared := 0
	for i := range rules {
		winner, shadowed := shadow(rules[:i], &rules[i], &compared)
		if !shadowed || s[rules[i].Origin] == winner {
			continue
		}
		s[rules[i].Origin] = winner
		where := host
		if namespace != "" {
			where += " called from namespace " + namespace
		}
		c.Report(ir.Problem{
			Origin: rules[i].Origin, Condition: ir.Conflicted, Reason: "Shadowed", Field: "spec." + rules[i].Origin.Section,
			Message: "never has an effect for " + where + ", as " + winner.Section + " of " + winner.Object().String() +
				" comes first and takes its requests; remove one of the two or merge the objects",
		})
	}
}

// shadow is the last rule of another object of those that leave a rule no request.
func shadow(before []ir.ResolvedRule, rule *ir.ResolvedRule, compared *int) (winner ir.Origin, shadowed bool) {
	matches := rule.Matches
	if len(matches) == 0 {
		matches = []ir.Match{{}}
	}
	for i := range matches {
		j := slices.IndexFunc(before, func(r ir.ResolvedRule) bool {
			*compared += 1 + len(r.Matches)
			return *compared <= maxCompared && ir.Covers(r.Matches, &matches[i])
		})
		if j < 0 {
			return ir.Origin{}, false
		}
		if before[j].Origin.Object() != rule.Origin.Object() {
			winner, shadowed = before[j].Origin, true
		}
	}
	return winner, shadowed
}
