// SPDX-License-Identifier: Apache-2.0

package graph

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// checker is the state of the option Check.
type checker struct {
	random *rand.Rand
}

// Check is for tests. Every function is evaluated a second time, in shuffled
// order, and Commit panics unless it read, emitted and reported the same; so it
// does when an order of keys calls two different keys equal or depends on the
// order in which it is asked.
func Check() Option {
	return func(g *Graph) {
		g.check = &checker{random: rand.New(rand.NewPCG(1, 2))}
	}
}

// verify evaluates a batch again, one cell at a time in shuffled order, and
// compares the outcomes with those that the lanes hold. share is the number of
// cells per lane.
func (d *derived[IK, IV, K, V]) verify(batch []*cell[IK, IV, K, V], share int) {
	again := d.lane(d.g.workers)
	for _, i := range d.g.check.random.Perm(len(batch)) {
		c := batch[i]
		again.call(c)
		if again.fault != nil {
			panic(again.fault)
		}
		what := d.difference(d.lane(i/share).outcome(i%share), again.outcome(0))
		again.reset()
		if what != "" {
			panic(fmt.Sprintf("graph: the function of table %q is not pure: evaluated twice on input %v, it %s",
				d.out.name, c.in.key, what))
		}
	}
}

// difference says how two outcomes differ; the order of reads and emissions does
// not count.
func (d *derived[IK, IV, K, V]) difference(a, b outcome[K, V]) string {
	switch {
	case a.kept != b.kept:
		return "kept its rows only once"
	case !sameProblems(a.problems, b.problems):
		return fmt.Sprintf("reported %v and then %v", a.problems, b.problems)
	case !sameReads(a, b):
		return "read different rows"
	case a.kept:
		return ""
	}
	first, second := firstEmits(a.emits), firstEmits(b.emits)
	for k, v := range first {
		w, ok := second[k]
		if !ok {
			return fmt.Sprintf("emitted key %v only once", k)
		}
		if !d.out.same(&v, &w) {
			return fmt.Sprintf("emitted different values for key %v: %v and then %v", k, v, w)
		}
		delete(second, k)
	}
	for k := range second {
		return fmt.Sprintf("emitted key %v only once", k)
	}
	return ""
}

// sameReads compares what was read. A read of something without a site names it
// by its token; both evaluations saw the same sites.
func sameReads[K comparable, V any](a, b outcome[K, V]) bool {
	seen := map[any]struct{}{}
	for _, id := range a.reads {
		seen[id] = struct{}{}
	}
	for _, p := range a.fresh {
		seen[p.token()] = struct{}{}
	}
	again := map[any]struct{}{}
	for _, id := range b.reads {
		again[id] = struct{}{}
	}
	for _, p := range b.fresh {
		again[p.token()] = struct{}{}
	}
	if len(seen) != len(again) {
		return false
	}
	for r := range seen {
		if _, ok := again[r]; !ok {
			return false
		}
	}
	return true
}

func firstEmits[K comparable, V any](emits []Row[K, V]) map[K]V {
	first := make(map[K]V, len(emits))
	for _, e := range emits {
		if _, ok := first[e.Key]; !ok {
			first[e.Key] = e.Value
		}
	}
	return first
}

// verify checks that the order of the keys tells the changed keys apart.
func (t *Table[K, V]) verify() {
	for i := 1; i < len(t.changes); i++ {
		if a, b := t.changes[i-1].Key, t.changes[i].Key; t.compare(a, b) >= 0 {
			panic(fmt.Sprintf("graph: the order of table %q does not put key %v before %v", t.name, a, b))
		}
	}
}

// verify sorts a bucket from a shuffled state: the result must be what the
// bucket holds.
func (idx *Index[X, K, V]) verify(b *bucket[X, K, V]) {
	members := slices.Clone(b.members)
	idx.g.check.random.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	slices.SortFunc(members, idx.in.byKey)
	if !slices.Equal(members, b.members) {
		panic(fmt.Sprintf("graph: bucket %v of index %q is not sorted; the order of table %q is not total",
			b.key, idx.name, idx.in.name))
	}
	for _, r := range members {
		if !r.present {
			panic(fmt.Sprintf("graph: bucket %v of index %q holds the absent row %v", b.key, idx.name, r.key))
		}
	}
}

// recheck asks the key function again.
func (idx *Index[X, K, V]) recheck(k K, v V, keys []X) {
	a := idx.unique(nil, keys)
	b := idx.unique(nil, idx.keysOf(k, v))
	if !slices.Equal(a, b) {
		panic(wiring(fmt.Sprintf("graph: the key function of index %q is not pure: for row %v it says %v and then %v",
			idx.name, k, a, b)))
	}
}
