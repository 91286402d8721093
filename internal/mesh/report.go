// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"slices"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// reports keeps what the tables have to say of each object. A problem of an
// object may come from the evaluation of any input of any table.
type reports struct {
	byInput  map[reportKey][]ir.Problem
	byObject map[ir.Origin]map[reportKey][]ir.Problem
}

type reportKey struct {
	table string
	input any
}

func newReports() *reports {
	return &reports{byInput: map[reportKey][]ir.Problem{}, byObject: map[ir.Origin]map[reportKey][]ir.Problem{}}
}

// update takes the reports of a commit. It returns all problems of each object
// about which something changed, and the reports that are about no object.
func (r *reports) update(changed []graph.Report) (objects map[ir.Origin][]ir.Problem, other []graph.Report) {
	touched := map[ir.Origin]bool{}
	for _, rep := range changed {
		key := reportKey{rep.Table, rep.Input}
		for _, p := range r.byInput[key] {
			o := p.Origin.Object()
			touched[o] = true
			delete(r.byObject[o], key)
			if len(r.byObject[o]) == 0 {
				delete(r.byObject, o)
			}
		}
		delete(r.byInput, key)
		problems, rest := split(rep.Problems)
		if len(rest) > 0 {
			other = append(other, graph.Report{Table: rep.Table, Input: rep.Input, Problems: rest, Kept: rep.Kept})
		}
		if len(problems) == 0 {
			continue
		}
		r.byInput[key] = problems
		for _, p := range problems {
			o := p.Origin.Object()
			touched[o] = true
			if r.byObject[o] == nil {
				r.byObject[o] = map[reportKey][]ir.Problem{}
			}
			r.byObject[o][key] = append(r.byObject[o][key], p)
		}
	}
	objects = make(map[ir.Origin][]ir.Problem, len(touched))
	for o := range touched {
		objects[o] = r.of(o)
	}
	return objects, other
}

func (r *reports) of(object ir.Origin) []ir.Problem {
	var out []ir.Problem
	for _, ps := range r.byObject[object] {
		out = append(out, ps...)
	}
	slices.SortFunc(out, ir.Problem.Compare)
	return slices.Compact(out)
}

func split(all []any) (problems []ir.Problem, rest []any) {
	for _, x := range all {
		if p, ok := x.(ir.Problem); ok {
			problems = append(problems, p)
		} else {
			rest = append(rest, x)
		}
	}
	return problems, rest
}
