// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"slices"
	"strings"

	"github.com/meshwright/meshwright/internal/ir"
)

// maxCompared bounds the pairs of matches that are compared, so that an object with
// thousands of them is projected in milliseconds; what lies behind is not warned of.
const maxCompared = 1 << 18

// unreachable warns of rules, and of matches in rules, that earlier rules leave no
// request to. written is how many matches each rule has in the object.
func (v *virtualService) unreachable(rules []ir.Rule, written map[string]int) {
	compared := 0
	for i := range rules {
		r := &rules[i]
		at := path(string(spec) + "." + r.Origin.Section)
		matches := r.Matches
		if len(matches) == 0 {
			matches = []ir.Match{{}}
		}
		takers := make([]int, len(matches))
		for j := range matches {
			takers[j] = coveredBy(rules[:i], &matches[j], &compared)
		}
		if !slices.Contains(takers, -1) {
			if first := &rules[takers[0]]; len(first.Matches) == 0 {
				v.notes.warn(ReasonUnreachable, at, "never has an effect, as %s has no match and takes every request; put that one last", first.Origin.Section)
			} else {
				v.notes.warn(ReasonUnreachable, at, "never has an effect, as %s before it leaves it no request; change the order or remove it", sections(rules, takers))
			}
			continue
		}
		if written[r.Origin.Section] != len(matches) {
			continue // the indices are not those of the object
		}
		for j, t := range takers {
			if t >= 0 {
				v.notes.warn(ReasonUnreachable, at.field("match").index(j), "never has an effect, as %s before it takes all of its requests", rules[t].Origin.Section)
			}
		}
	}
}

// sections names rules, each once.
func sections(rules []ir.Rule, of []int) string {
	var out []string
	for _, i := range slices.Compact(slices.Sorted(slices.Values(of))) {
		out = append(out, rules[i].Origin.Section)
	}
	return strings.Join(out, ", ")
}

// coveredBy is the first rule that takes all requests of a match, -1 for none. What a
// delegate does not take is left to the rules behind.
func coveredBy(rules []ir.Rule, m *ir.Match, compared *int) int {
	for i := range rules {
		if *compared += 1 + len(rules[i].Matches); *compared > maxCompared {
			return -1
		}
		if rules[i].Delegate == nil && ir.Covers(rules[i].Matches, m) {
			return i
		}
	}
	return -1
}
