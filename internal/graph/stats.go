// SPDX-License-Identifier: Apache-2.0

package graph

// Stats describes the size and the work of a graph. It is for the owner of the
// graph; taking it costs time in proportion to the number of tables.
type Stats struct {
	Commits   uint64
	Evaluated uint64 // function calls since New
	Panics    uint64 // function calls that panicked since New
	Edges     int    // recorded reads
	Sites     int    // rows and buckets with at least one reader
	Cells     int    // input rows of all derived tables
	Tables    []TableStats
}

// TableStats describes one table or index, in construction order.
type TableStats struct {
	Name      string
	Kind      string // source, derived, index or keys
	Rows      int    // rows; for an index, buckets that are not empty
	Awaited   int    // absent rows or empty buckets that have readers
	Contested int    // rows that more than one input emits
	Troubled  int    // inputs with a report
	Evaluated uint64 // function calls since New
}

// Stats returns the present state.
func (g *Graph) Stats() Stats {
	s := Stats{
		Commits: g.commits, Evaluated: g.evaluated, Panics: g.panics,
		Edges: g.ledger.edges,
		Sites: len(g.ledger.sites) - 1 - len(g.ledger.freeSites),
		Cells: len(g.ledger.cells) - 1 - len(g.ledger.freeCells),
	}
	for _, n := range g.nodes {
		s.Tables = append(s.Tables, n.stats()...)
	}
	return s
}

func (t *Table[K, V]) stats(kind string) TableStats {
	return TableStats{Name: t.name, Kind: kind, Rows: t.live, Awaited: len(t.rows) - t.live}
}

func (d *derived[IK, IV, K, V]) stats() []TableStats {
	s := d.out.stats("derived")
	s.Contested, s.Troubled, s.Evaluated = len(d.contested), len(d.noted), d.evaluated
	return []TableStats{s}
}

func (idx *Index[X, K, V]) stats() []TableStats {
	s := TableStats{
		Name: idx.name, Kind: "index", Rows: idx.full,
		Awaited: len(idx.buckets) - idx.full, Troubled: len(idx.broken),
	}
	if idx.keys == nil {
		return []TableStats{s}
	}
	return []TableStats{s, idx.keys.stats("keys")}
}
