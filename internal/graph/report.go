// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// Report is what the evaluation of one input row had to say: the problems given
// to Ctx.Report and Ctx.Keep, a Panic, and Conflicts.
type Report struct {
	Table    string // the derived table or index whose function was evaluated
	Input    any    // key of the input row
	Problems []any  // empty: what was reported before is gone
	Kept     bool   // the rows emitted by an earlier evaluation are still served
}

// Panic is the problem of an input for which the function panicked.
type Panic struct {
	Table string
	Input any
	Text  string // the value given to panic
	Stack string // where; it differs from call to call and takes no part in comparisons
}

// Error names the table, the input and the text of the panic.
func (p Panic) Error() string {
	return fmt.Sprintf("table %q panicked on input %v: %s", p.Table, p.Input, p.Text)
}

// notes are the problems of one cell.
type notes struct {
	own      []any // of the last evaluation; conflicts are added when needed
	kept     bool
	told     []any // what the last Report said
	toldKept bool
}

// Reports returns the reports that the last commit changed, in the order of the
// tables and then of the input keys. The slice is valid until the next commit.
func (g *Graph) Reports() []Report { return g.reports }

// Standing returns all reports that are in force, in the order of the tables and
// then of the input keys. A process that begins to write statuses calls it once.
func (g *Graph) Standing() []Report {
	var reports []Report
	for _, n := range g.nodes {
		reports = n.collect(reports)
	}
	return reports
}

// suspect lists a cell whose report may have changed.
func (d *derived[IK, IV, K, V]) suspect(c *cell[IK, IV, K, V]) {
	if !c.listed {
		c.listed = true
		d.suspects = append(d.suspects, c)
	}
}

// announce reports the suspects whose problems differ from what was told last.
func (d *derived[IK, IV, K, V]) announce() {
	if len(d.suspects) == 0 {
		return
	}
	slices.SortFunc(d.suspects, d.byInput)
	for _, c := range d.suspects {
		c.listed = false
		problems := c.problems()
		if c.notes == nil {
			if len(problems) == 0 {
				continue
			}
			c.notes = &notes{}
		}
		n := c.notes
		if n.kept != n.toldKept || !sameProblems(problems, n.told) {
			d.g.reports = append(d.g.reports, Report{
				Table: d.out.name, Input: c.in.key, Problems: problems, Kept: n.kept,
			})
			n.told, n.toldKept = problems, n.kept
		}
		if len(problems) == 0 && !n.kept {
			c.notes = nil
			delete(d.noted, c)
		} else {
			d.noted[c] = struct{}{}
		}
	}
	clear(d.suspects)
	d.suspects = trim(d.suspects)
}

// problems returns the problems of the last evaluation and the lost conflicts.
func (c *cell[IK, IV, K, V]) problems() []any {
	var problems []any
	if c.notes != nil {
		problems = append(problems, c.notes.own...)
	}
	for _, r := range c.outs {
		if r.rivals && r.owner != c.id {
			problems = append(problems, Conflict{
				Table: c.table.out.name, Key: r.key,
				Winner: c.table.cell(r.owner).in.key, Loser: c.in.key,
			})
		}
	}
	return problems
}

func (d *derived[IK, IV, K, V]) collect(reports []Report) []Report {
	cells := slices.SortedFunc(maps.Keys(d.noted), d.byInput)
	for _, c := range cells {
		reports = append(reports, Report{
			Table: d.out.name, Input: c.in.key, Problems: c.notes.told, Kept: c.notes.toldKept,
		})
	}
	return reports
}

func (idx *Index[X, K, V]) collect(reports []Report) []Report {
	for _, k := range slices.SortedFunc(maps.Keys(idx.broken), idx.in.compare) {
		reports = append(reports, Report{
			Table: idx.name, Input: k, Problems: []any{*idx.broken[k].failure}, Kept: true,
		})
	}
	return reports
}

func sameProblems(a, b []any) bool {
	return slices.EqualFunc(a, b, func(a, b any) bool {
		if p, ok := a.(Panic); ok {
			q, ok := b.(Panic)
			return ok && p.Table == q.Table && p.Input == q.Input && p.Text == q.Text
		}
		return reflect.DeepEqual(a, b)
	})
}
