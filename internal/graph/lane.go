// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"fmt"
	"runtime/debug"
	"sync"
)

const (
	// laneLength is how many cells a lane evaluates before the owner absorbs the
	// outcomes. It bounds the memory that outcomes take during a first load.
	laneLength = 128
	// worthwhile is the number of dirty cells from which goroutines pay off.
	worthwhile = 32
)

// lane evaluates a run of cells and keeps the outcomes in buffers that grow to
// what one run needs. It only reads the graph, so several lanes can work at once.
type lane[IK comparable, IV any, K comparable, V any] struct {
	d     *derived[IK, IV, K, V]
	ctx   Ctx
	emits []Row[K, V]
	emit  func(K, V)
	ends  []end
	fault any // panic that must leave Commit
}

// end says where the outcome of one cell ends in the buffers of its lane.
type end struct {
	reads, fresh, problems, emits int
	kept, panicked                bool
}

// outcome is what one evaluation read, emitted and reported.
type outcome[K comparable, V any] struct {
	reads    []uint32
	fresh    []pending
	problems []any
	emits    []Row[K, V]
	kept     bool // the rows of before stay: Keep or a panic
	panicked bool
}

func (d *derived[IK, IV, K, V]) lane(i int) *lane[IK, IV, K, V] {
	for len(d.lanes) <= i {
		l := &lane[IK, IV, K, V]{d: d}
		l.ctx = Ctx{g: d.g, name: d.out.name, order: d.out.order}
		l.emit = func(k K, v V) {
			if !l.ctx.open {
				panic(wiring(fmt.Sprintf("graph: table %q emits after its function has returned", d.out.name)))
			}
			l.emits = append(l.emits, Row[K, V]{Key: k, Value: v})
		}
		d.lanes = append(d.lanes, l)
	}
	return d.lanes[i]
}

// evaluate calls the function for each cell and absorbs the outcomes in order.
func (d *derived[IK, IV, K, V]) evaluate(cells []*cell[IK, IV, K, V], res *Result) {
	for len(cells) > 0 {
		lanes := 1
		if d.g.workers > 1 && len(cells) >= worthwhile {
			lanes = d.g.workers
		}
		batch := cells[:min(len(cells), lanes*laneLength)]
		cells = cells[len(batch):]
		share := (len(batch) + lanes - 1) / lanes
		d.work(batch, lanes, share)
		for i := range lanes {
			l := d.lane(i)
			for j, c := range part(batch, i, share) {
				o := l.outcome(j)
				if o.panicked {
					res.Panics++
				}
				d.absorb(c, o)
			}
			l.reset()
		}
	}
}

// work lets each lane evaluate its part of the batch.
func (d *derived[IK, IV, K, V]) work(batch []*cell[IK, IV, K, V], lanes, share int) {
	if lanes == 1 {
		d.lane(0).walk(batch)
	} else {
		var group sync.WaitGroup
		for i := range lanes {
			l := d.lane(i)
			group.Go(func() { l.walk(part(batch, i, share)) })
		}
		group.Wait()
	}
	for i := range lanes {
		if fault := d.lane(i).fault; fault != nil {
			panic(fault)
		}
	}
	if d.g.check != nil {
		d.verify(batch, share)
	}
}

// part returns the i-th share of a batch; the last ones may be short or empty.
func part[T any](batch []T, i, share int) []T {
	return batch[min(i*share, len(batch)):min((i+1)*share, len(batch))]
}

func (l *lane[IK, IV, K, V]) walk(cells []*cell[IK, IV, K, V]) {
	for _, c := range cells {
		if l.call(c); l.fault != nil {
			return
		}
	}
}

// call evaluates one cell and closes its outcome, also when the function panics.
func (l *lane[IK, IV, K, V]) call(c *cell[IK, IV, K, V]) {
	l.ctx.reads = append(l.ctx.reads, c.in.site)
	l.ctx.kept, l.ctx.open, l.ctx.cell = false, true, c
	panicked := false
	defer func() {
		l.ctx.open, l.ctx.cell = false, nil
		if reason := recover(); reason != nil {
			if w, ok := reason.(wiring); ok {
				l.fault = w
			}
			panicked = true
			l.ctx.Keep(Panic{
				Table: l.d.out.name, Input: c.in.key,
				Text: fmt.Sprint(reason), Stack: string(debug.Stack()),
			})
		}
		l.ends = append(l.ends, end{
			reads: len(l.ctx.reads), fresh: len(l.ctx.fresh), problems: len(l.ctx.problems),
			emits: len(l.emits), kept: l.ctx.kept, panicked: panicked,
		})
	}()
	l.d.fn(&l.ctx, c.in.key, c.in.value, l.emit)
}

func (l *lane[IK, IV, K, V]) outcome(i int) outcome[K, V] {
	var from end
	if i > 0 {
		from = l.ends[i-1]
	}
	to := l.ends[i]
	return outcome[K, V]{
		reads:    l.ctx.reads[from.reads:to.reads],
		fresh:    l.ctx.fresh[from.fresh:to.fresh],
		problems: l.ctx.problems[from.problems:to.problems],
		emits:    l.emits[from.emits:to.emits],
		kept:     to.kept,
		panicked: to.panicked,
	}
}

// reset forgets the outcomes and what they point to.
func (l *lane[IK, IV, K, V]) reset() {
	clear(l.ctx.fresh)
	clear(l.ctx.problems)
	clear(l.emits)
	l.ctx.reads, l.ctx.fresh = trim(l.ctx.reads), trim(l.ctx.fresh)
	l.ctx.problems, l.emits = trim(l.ctx.problems), trim(l.emits)
	l.ends = l.ends[:0]
}
