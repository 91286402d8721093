// SPDX-License-Identifier: Apache-2.0

package nameserver

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// Record is what the mesh knows of one name.
type Record struct {
	IPv4, IPv6 []netip.Addr
	// TTL is for how many seconds an answer may be kept.
	TTL uint32
}

func (r Record) isEmpty() bool { return len(r.IPv4) == 0 && len(r.IPv6) == 0 }

// Table holds the names of the mesh: lower case, without a dot at the end; "*.x" stands for every name below x that has
// no record of its own. It is safe for concurrent use.
type Table struct {
	mu sync.RWMutex
	// exact is by name, wild by what follows "*.".
	exact, wild map[string]Record
	// lacks is the families of which the pod has no address.
	lacks families
}

type families struct{ four, six bool }

// Reach leaves out addresses of the families of which the pod, which has the addresses own, has none: nothing there can
// be called. Of names that have no others they stay. It is called before the first name comes.
func (t *Table) Reach(own []netip.Addr) {
	t.lacks = families{four: !slices.ContainsFunc(own, netip.Addr.Is4), six: !slices.ContainsFunc(own, netip.Addr.Is6)}
}

// reachable is a record without addresses that are of no use where others are.
func (l families) reachable(r Record) Record {
	switch {
	case l.six && len(r.IPv4) > 0:
		r.IPv6 = nil
	case l.four && len(r.IPv6) > 0:
		r.IPv4 = nil
	}
	return r
}

// NewTable makes an empty table, in which nothing is found.
func NewTable() *Table {
	return &Table{exact: map[string]Record{}, wild: map[string]Record{}}
}

// Update removes names and then sets others, all at once. It returns how many names there are now.
func (t *Table) Update(set map[string]Record, removed []string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, name := range removed {
		if parent, ok := strings.CutPrefix(name, wildcard); ok {
			delete(t.wild, parent)
		} else {
			delete(t.exact, name)
		}
	}
	for name, record := range set {
		if parent, ok := strings.CutPrefix(name, wildcard); ok {
			t.wild[parent] = record
		} else {
			t.exact[name] = record
		}
	}
	return len(t.exact) + len(t.wild)
}

const wildcard = "*."

// Lookup finds the record of a name: its own, else the one of the longest wildcard above it. A name whose record has no
// addresses is not found: the mesh has nothing to say of it.
func (t *Table) Lookup(name string) (Record, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if r, ok := t.exact[name]; ok {
		return r, !r.isEmpty()
	}
	if len(t.wild) == 0 {
		return Record{}, false
	}
	for {
		_, parent, ok := strings.Cut(name, ".")
		if !ok {
			return Record{}, false
		}
		if r, ok := t.wild[parent]; ok {
			return r, !r.isEmpty()
		}
		name = parent
	}
}

// has tells whether the name itself is known.
func (t *Table) has(name string) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	_, ok := t.exact[name]
	return ok
}
