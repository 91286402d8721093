// SPDX-License-Identifier: Apache-2.0

package graph

import "slices"

// bucket is the rows of one key of the index, sorted by their own key. Which
// buckets a row is in is not stored: the key function is asked again with the
// value that the row had.
type bucket[X, K comparable, V any] struct {
	index   *Index[X, K, V]
	key     X
	members []*row[K, V]
	site    uint32
	edit    int // 1 + place in index.edits, 0 if untouched in this commit
}

// edit collects what one commit does to a bucket; rows are sorted by key.
type edit[X, K comparable, V any] struct {
	bucket *bucket[X, K, V]
	add    []*row[K, V]
	remove []*row[K, V]
}

// bucketMiss is a read of a bucket that does not exist.
type bucketMiss[X, K comparable, V any] struct {
	index *Index[X, K, V]
	key   X
}

func (m *bucketMiss[X, K, V]) resolve() readable { return m.index.at(m.key) }
func (m *bucketMiss[X, K, V]) token() any        { return *m }

func (b *bucket[X, K, V]) resolve() readable { return b }
func (b *bucket[X, K, V]) token() any        { return b }
func (b *bucket[X, K, V]) siteID() uint32    { return b.site }
func (b *bucket[X, K, V]) setSite(id uint32) { b.site = id }
func (b *bucket[X, K, V]) idle()             { b.index.release(b) }
func (b *bucket[X, K, V]) ref() Ref {
	return Ref{Table: b.index.name, Key: b.key, Present: len(b.members) > 0}
}

// each iterates over the members; the bucket may be nil.
func (b *bucket[X, K, V]) each(yield func(K, V) bool) {
	if b == nil {
		return
	}
	for _, r := range b.members {
		if !yield(r.key, r.value) {
			return
		}
	}
}

func (idx *Index[X, K, V]) at(x X) *bucket[X, K, V] {
	b := idx.buckets[x]
	if b == nil {
		b = &bucket[X, K, V]{index: idx, key: x}
		idx.buckets[x] = b
	}
	return b
}

func (idx *Index[X, K, V]) release(b *bucket[X, K, V]) {
	if len(b.members) == 0 && b.site == 0 {
		delete(idx.buckets, b.key)
	}
}

// touch returns the edit of a bucket in this commit.
func (idx *Index[X, K, V]) touch(x X) *edit[X, K, V] {
	b := idx.at(x)
	if b.edit == 0 {
		idx.edits = append(idx.edits, edit[X, K, V]{bucket: b})
		b.edit = len(idx.edits)
	}
	return &idx.edits[b.edit-1]
}

// show keeps the table of keys in step with a bucket.
func (idx *Index[X, K, V]) show(b *bucket[X, K, V]) {
	full := len(b.members) > 0
	r := idx.keys.rows[b.key]
	if (r != nil && r.present) == full {
		return
	}
	r = idx.keys.at(b.key)
	idx.keys.touch(r)
	r.present = full
}

// apply returns the members of a bucket after an edit.
func (idx *Index[X, K, V]) apply(members []*row[K, V], e *edit[X, K, V]) []*row[K, V] {
	const few = 8
	if len(e.add)+len(e.remove) > few {
		return idx.merge(members, e)
	}
	for _, r := range e.remove {
		if i := idx.find(members, r); i < len(members) {
			members = slices.Delete(members, i, i+1)
		}
	}
	for _, r := range e.add {
		i, _ := slices.BinarySearchFunc(members, r, idx.in.byKey)
		members = slices.Insert(members, i, r)
	}
	if len(members) == 0 {
		return nil
	}
	return members
}

// find returns the place of a row, or the length if it is not there.
func (idx *Index[X, K, V]) find(members []*row[K, V], r *row[K, V]) int {
	i, found := slices.BinarySearchFunc(members, r, idx.in.byKey)
	if found && members[i] == r {
		return i
	}
	return len(members)
}

// merge applies a large edit in one pass.
func (idx *Index[X, K, V]) merge(members []*row[K, V], e *edit[X, K, V]) []*row[K, V] {
	next := make([]*row[K, V], 0, max(len(members)+len(e.add)-len(e.remove), len(e.add)))
	add, remove := e.add, e.remove
	for _, m := range members {
		if len(remove) > 0 && remove[0] == m {
			remove = remove[1:]
			continue
		}
		for len(add) > 0 && idx.in.byKey(add[0], m) < 0 {
			next = append(next, add[0])
			add = add[1:]
		}
		next = append(next, m)
	}
	next = append(next, add...)
	if len(next) == 0 {
		return nil
	}
	return next
}
