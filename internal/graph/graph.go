// SPDX-License-Identifier: Apache-2.0

// Package graph keeps keyed tables of immutable values up to date.
//
// A graph is built once, from sources (tables that the outside writes), derived
// tables (a pure function, run once per row of an input table) and indexes (the
// rows of a table by another key). It is then advanced by Commit: all that was
// staged in the sources becomes visible at once, and every table is brought up
// to date at most once, in the order in which the tables were built.
//
//	source ──┬─────────────> derived ──┬──> derived ──> Changes()
//	         └──> index ─────────^     └──> index ──────────^
//
// A function declares what it depends on by reading it: Get records one row,
// present or absent, and Lookup records one bucket of an index. When a recorded
// row or bucket changes, exactly the inputs that read it are evaluated again;
// when the rows that they emit are equal to those from before, nothing further
// happens. There is no way to list a table inside a function: whoever depends on
// a whole mesh has to say so by deriving a summary row.
//
// The cost of a commit is the number of evaluated inputs times what they read
// and emit. It does not depend on the number of rows.
//
// # Rules for functions
//
// A function is pure: it reads only its arguments, Get, Lookup and Each, it does
// not modify what it reads, and it keeps nothing between calls. It may run at any
// time, any number of times, and beside other calls of itself (see Workers). The
// option Check verifies this in tests.
//
// # Ownership
//
// Nothing here locks. One goroutine owns the graph and everything made from it;
// the functions of the graph are the only code that runs beside it, and only
// during Commit.
package graph

import "fmt"

// Graph is a set of tables that are brought up to date together. The zero value
// is not usable; call New.
type Graph struct {
	nodes      []node
	names      map[string]explainer
	ledger     ledger
	workers    int
	check      *checker
	sealed     bool // no more tables: the first commit has begun
	committing bool
	reports    []Report
	result     Result // of the commit that is running
	commits    uint64
	evaluated  uint64
	panics     uint64
}

// Option changes how a graph works; see Workers and Check.
type Option func(*Graph)

// Workers lets up to n goroutines evaluate the dirty inputs of one table side by
// side. Results are the same for every n. Values below 2 mean no goroutines,
// which is also the default.
func Workers(n int) Option {
	return func(g *Graph) { g.workers = max(n, 1) }
}

// New returns an empty graph.
func New(options ...Option) *Graph {
	g := &Graph{names: map[string]explainer{}, workers: 1}
	g.ledger.init()
	for _, option := range options {
		option(g)
	}
	return g
}

// Result says what one commit did. Tables in which nothing happened are absent,
// and a map without tables is nil.
type Result struct {
	// Evaluated is the number of function calls per derived table.
	Evaluated map[string]int
	// Changed is the number of rows added, updated and deleted per table.
	Changed map[string]int
	// Panics is the number of function calls of this commit that panicked.
	Panics int
}

func count(to *map[string]int, name string, n int) {
	if *to == nil {
		*to = map[string]int{}
	}
	(*to)[name] += n
}

// explainer answers Explain for the rows of one name.
type explainer interface {
	explain(key any) (Explanation, error)
}

// node is one element of the graph: a source, a derived table or an index.
type node interface {
	// run brings the node up to date. All earlier nodes are up to date.
	run(res *Result)
	// forget drops the changes of the previous commit.
	forget()
	explainer
	stats() []TableStats
	// collect appends the reports that stand at present.
	collect(reports []Report) []Report
}

// Commit makes everything staged in the sources visible and brings all tables up
// to date. It panics when the graph is wired wrongly (a function reads its own
// or a later table, a function commits or writes a source, or, with Check, a
// function is not pure); a panic of a function itself does not leave Commit: the
// rows of that input stay as they were and the panic is reported.
func (g *Graph) Commit() Result {
	if g.committing {
		panic(wiring("graph: Commit is called while a commit is running"))
	}
	g.sealed, g.committing = true, true
	defer func() { g.committing = false }()

	clear(g.reports)
	g.reports = trim(g.reports)
	for _, n := range g.nodes {
		n.forget()
	}
	g.result = Result{}
	for _, n := range g.nodes {
		n.run(&g.result)
		g.ledger.sweep()
	}
	g.commits++
	g.panics += uint64(g.result.Panics)
	return g.result
}

// enter gives a new node its place in the construction order.
func (g *Graph) enter(name string, n node) int {
	if g.sealed {
		panic(fmt.Sprintf("graph: table %q is built after the first commit; build all tables first", name))
	}
	g.name(name, n)
	g.nodes = append(g.nodes, n)
	return len(g.nodes)
}

func (g *Graph) name(name string, e explainer) {
	if name == "" {
		panic("graph: a table needs a name")
	}
	if g.names[name] != nil {
		panic(fmt.Sprintf("graph: there are two tables named %q", name))
	}
	g.names[name] = e
}

// spare is the capacity, in elements, up to which an emptied buffer is kept for
// the next commit. Larger ones, left by a first load, go back to the collector.
const spare = 1024

// trim empties a buffer; its elements must have been cleared.
func trim[T any](buffer []T) []T {
	if cap(buffer) > spare {
		return nil
	}
	return buffer[:0]
}
