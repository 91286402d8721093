// SPDX-License-Identifier: Apache-2.0

package intake

import (
	"fmt"
	"reflect"
	"sync"

	"k8s.io/client-go/tools/cache"
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
	project func(O) *R            // pure; nil: there is nothing to hold
	key     func(object string) K // from NAMESPACE/NAME
	put     func(*Batch, K, *R)
	synced  func() // called after each Replace

	mu   sync.Mutex
	rows map[string]*R
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
	next := make(map[string]*R, len(list))
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

func (t *table[O, K, R]) read(obj any) (string, *R, error) {
	o, ok := obj.(O)
	if !ok {
		return "", nil, fmt.Errorf("got %T from a watch of %s", obj, reflect.TypeFor[O]())
	}
	name, err := cache.MetaNamespaceKeyFunc(obj)
	if err != nil {
		return "", nil, fmt.Errorf("name an object: %w", err)
	}
	return name, t.project(o), nil
}

// set remembers a row and returns what the inbox must be told, nil if nothing.
func (t *table[O, K, R]) set(name string, next *R) func(*Batch) {
	if reflect.DeepEqual(t.rows[name], next) {
		return nil // the row that is held stays, so that equal rows are one
	}
	if next == nil {
		return t.remove(name)
	}
	t.rows[name] = next
	return func(b *Batch) { t.put(b, t.key(name), next) }
}

func (t *table[O, K, R]) remove(name string) func(*Batch) {
	if _, had := t.rows[name]; !had {
		return nil
	}
	delete(t.rows, name)
	return func(b *Batch) { t.put(b, t.key(name), nil) }
}
