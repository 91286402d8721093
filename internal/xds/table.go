// SPDX-License-Identifier: Apache-2.0

package xds

import "strings"

// name is one resource name of one type, shared by all layers and sessions.
// It is guarded by the hub's lock; text, id and parent never change.
type name struct {
	text string
	// id is the name's index in its table. It is given to another name only
	// after no session has any business with this one any more.
	id uint32
	// parent is the route configuration of a virtual host, else empty.
	parent string
	// key, part, leads and hidden are those of the last version; see Resource.
	key    string
	part   string
	leads  bool
	hidden bool
	// serial is the last serial number given to a version of this name.
	serial uint32
	// placements counts the layers that hold the name.
	placements int
	// asked says which sessions subscribe to the name explicitly.
	asked seats
	// tallied are the versions whose holders are counted, one per layer at most.
	tallied []*version
	// dying is true while the name waits in the table's graveyard.
	dying bool
}

// table holds the names of one type.
type table struct {
	typ    string
	rank   int
	byText map[string]*name
	byID   []*name
	free   []uint32
	// graveyard holds names without placement and explicit subscriber, which
	// sessions may still have to be told about.
	graveyard []*name
	// children are the virtual hosts by their route configuration.
	children map[string]map[*name]struct{}
	// aliases are the virtual hosts by their aliases, with the number of
	// layers that say so.
	aliases map[string]map[*name]int
	// rest are the virtual hosts with the key Rest by their route configuration, and
	// the cluster with that key.
	rest map[string]*name
}

func newTable(typ string) *table {
	t := &table{typ: typ, rank: rankOf(typ), byText: map[string]*name{}, rest: map[string]*name{}}
	if typ == VirtualHostType {
		t.children = map[string]map[*name]struct{}{}
		t.aliases = map[string]map[*name]int{}
	}
	return t
}

// alias notes the aliases of a host that a layer holds.
func (t *table) alias(n *name, r *Resource) {
	if r.Key == Rest {
		t.rest[n.parent] = n
	}
	if t.children == nil {
		return
	}
	for _, a := range r.Aliases {
		if t.aliases[a] == nil {
			t.aliases[a] = map[*name]int{}
		}
		t.aliases[a][n]++
	}
}

func (t *table) unalias(n *name, r *Resource) {
	if t.children == nil {
		return
	}
	for _, a := range r.Aliases {
		if t.aliases[a][n]--; t.aliases[a][n] == 0 {
			delete(t.aliases[a], n)
		}
		if len(t.aliases[a]) == 0 {
			delete(t.aliases, a)
		}
	}
}

// intern returns the name with that text and makes it when it is new.
func (t *table) intern(text string) *name {
	if n, ok := t.byText[text]; ok {
		return n
	}
	// Clone: the text may be part of a request that should not stay in memory.
	n := &name{text: strings.Clone(text), serial: serialUnknown}
	if last := len(t.free) - 1; last >= 0 {
		n.id, t.free = t.free[last], t.free[:last]
		t.byID[n.id] = n
	} else {
		n.id = uint32(len(t.byID))
		t.byID = append(t.byID, n)
	}
	t.byText[n.text] = n
	if t.children != nil {
		n.parent = routeConfigOf(n.text)
		hosts := t.children[n.parent]
		if hosts == nil {
			hosts = map[*name]struct{}{}
			t.children[n.parent] = hosts
		}
		hosts[n] = struct{}{}
	}
	t.release(n)
	return n
}

// internBytes does not make a copy of the text of a name that is known.
func (t *table) internBytes(text []byte) *name {
	if n, ok := t.byText[string(text)]; ok {
		return n
	}
	return t.intern(string(text))
}

// release puts a name that nobody places or asks for into the graveyard.
func (t *table) release(n *name) {
	if n.placements == 0 && n.asked.empty() && !n.dying {
		n.dying = true
		t.graveyard = append(t.graveyard, n)
	}
}

// sweep frees the names of the graveyard for which held is false.
func (t *table) sweep(held func(id uint32) bool) {
	kept := t.graveyard[:0]
	for _, n := range t.graveyard {
		switch {
		case n.placements > 0 || !n.asked.empty():
			n.dying = false
		case held(n.id):
			kept = append(kept, n)
		default:
			t.drop(n)
		}
	}
	clear(t.graveyard[len(kept):])
	t.graveyard = kept
}

func (t *table) drop(n *name) {
	delete(t.byText, n.text)
	t.byID[n.id] = nil
	t.free = append(t.free, n.id)
	if t.rest[n.parent] == n {
		delete(t.rest, n.parent)
	}
	if t.children == nil {
		return
	}
	delete(t.children[n.parent], n)
	if len(t.children[n.parent]) == 0 {
		delete(t.children, n.parent)
	}
}

// routeConfigOf returns the route configuration that a virtual host belongs
// to: names of route configurations never contain a slash.
func routeConfigOf(host string) string {
	parent, _, _ := strings.Cut(host, "/")
	return parent
}
