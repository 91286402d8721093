// SPDX-License-Identifier: Apache-2.0

package intake

import (
	"fmt"
	"reflect"
	"sync"

	"k8s.io/client-go/tools/cache"

	"github.com/meshwright/meshwright/internal/ir"
)

// table is a reflector's store that keeps rows instead of objects: the object is
// projected and let go, and what the mesh does not use takes no memory. The rows
// are the ones that the inbox was given, so they are held once.
//
// A reflector lists again when it lost its place, for example because the API
// server was away. Replace compares the list with what is held, so that nothing
// is withdrawn in between and what did not change wakes nobody.
type table[O any, K comparable, R any] struct {
	inbox   *Inbox
	project func(O) projected[R]  // pure
	key     func(object string) K // from NAMESPACE/NAME
	put     func(*Batch, K, *R)
	origin  func(object string) ir.Origin // of kinds with status only
	synced  func()                        // called after each Replace

	mu   sync.Mutex
	rows map[string]held[R]
}

type held[R any] struct {
	row    *R
	status *ConfigStatus
	remark any // see projected
}

// projected is what became of an object.
type projected[R any] struct {
	row    *R            // nil: there is nothing to hold
	status *ConfigStatus // nil: the kind has none
	keep   bool          // the object could not be read at all: its last good row stays
	remark any           // kept beside the row and never sent on
}

var _ cache.ReflectorStore = (*table[any, string, int])(nil)

// Add takes a new object.
func (t *table[O, K, R]) Add(obj any) error { return t.Update(obj) }

// Update takes a changed object.
func (t *table[O, K, R]) Update(obj any) error {
	name, next, err := t.read(obj)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if write := t.set(name, next); write != nil {
		t.inbox.Put(write)
	}
	return nil
}

// Delete takes an object that is gone.
func (t *table[O, K, R]) Delete(obj any) error {
	name, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj)
	if err != nil {
		return fmt.Errorf("name a deleted object: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if write := t.remove(name); write != nil {
		t.inbox.Put(write)
	}
	return nil
}

// Replace takes all objects that exist. The differences go into one batch.
func (t *table[O, K, R]) Replace(list []any, _ string) error {
	next := make(map[string]projected[R], len(list))
	for _, obj := range list {
		name, p, err := t.read(obj)
		if err != nil {
			return err
		}
		next[name] = p
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var writes []func(*Batch)
	for name := range t.rows {
		if _, stays := next[name]; !stays {
			writes = append(writes, t.remove(name))
		}
	}
	for name, p := range next {
		if write := t.set(name, p); write != nil {
			writes = append(writes, write)
		}
	}
	if len(writes) > 0 {
		t.inbox.Put(func(b *Batch) {
			for _, write := range writes {
				write(b)
			}
		})
	}
	t.synced()
	return nil
}

// Resync does nothing: rows do not go stale by themselves.
func (t *table[O, K, R]) Resync() error { return nil }

func (t *table[O, K, R]) read(obj any) (string, projected[R], error) {
	o, ok := obj.(O)
	if !ok {
		return "", projected[R]{}, fmt.Errorf("got %T from a watch of %s", obj, reflect.TypeFor[O]())
	}
	name, err := cache.MetaNamespaceKeyFunc(obj)
	if err != nil {
		return "", projected[R]{}, fmt.Errorf("name an object: %w", err)
	}
	return name, t.project(o), nil
}

// remark is what was kept beside the row of an object.
func (t *table[O, K, R]) remark(object string) any {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rows[object].remark
}

// set remembers a row and returns what the inbox must be told, nil if nothing.
// A row that equals the one held is dropped for it, so that equal rows are one.
func (t *table[O, K, R]) set(name string, p projected[R]) func(*Batch) {
	old, had := t.rows[name]
	next := held[R]{p.row, p.status, p.remark}
	if p.keep {
		next.row = old.row
	}
	sameRow := reflect.DeepEqual(old.row, next.row)
	sameStatus := reflect.DeepEqual(old.status, next.status)
	if sameRow {
		next.row = old.row
	}
	if sameStatus {
		next.status = old.status
	}
	t.rows[name] = next
	if had && sameRow && sameStatus {
		return nil
	}
	if next.row == nil && old.row == nil && next.status == nil {
		return nil
	}
	return func(b *Batch) {
		if !sameRow {
			t.put(b, t.key(name), next.row)
		}
		if !sameStatus {
			b.Statuses[t.origin(name)] = *next.status
		}
	}
}

func (t *table[O, K, R]) remove(name string) func(*Batch) {
	old, had := t.rows[name]
	if !had {
		return nil
	}
	delete(t.rows, name)
	return func(b *Batch) {
		if old.row != nil {
			t.put(b, t.key(name), nil)
		}
		if old.status != nil {
			b.Statuses[t.origin(name)] = ConfigStatus{Generation: old.status.Generation, Deleted: true}
		}
	}
}
