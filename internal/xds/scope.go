// SPDX-License-Identifier: Apache-2.0

package xds

import "slices"

// Scopes.
//
// A class with a scope sees a keyed resource for one of three reasons, its
// topics: the resource's key (of one part, where the scope tells parts apart), its
// name, or its route configuration. The hub
// knows the classes by topic, so that a change costs a step for each class that
// sees it, however many classes and clients there are.

// topic is a reason to see a resource.
type topic struct {
	// kind is topicKey, topicPart, topicRoutes, or the type of a resource.
	kind string
	text string
	part string // of topicPart
}

const (
	topicKey    = "key"    // all with that key, or all with any; of parts that are not told apart
	topicPart   = "part"   // the same of one part
	topicRoutes = "routes" // all hosts of that route configuration
)

// scope is what a class sees, and why. It is guarded by the hub's lock.
type scope struct {
	asks bool
	keys []string
	all  bool
	// parts are those that are told apart.
	parts []Part
	// reasons count why a topic is followed: given, learned, needed.
	reasons map[topic]int
	lessons map[Lesson]struct{}
	// needs are the clusters that are seen because a host or a listener needs them.
	needs map[string][]string
	// unknown are the hosts that were asked for and do not exist.
	unknown map[string]struct{}
	// revision changes whenever a topic does.
	revision uint64
}

func (s *scope) follows(kind, text string) bool { return s.reasons[topic{kind: kind, text: text}] > 0 }

// belonging is the topic that a name has by its key.
func (s *scope) belonging(n *name) topic {
	for i := range s.parts {
		if p := &s.parts[i]; p.Name == n.part {
			return ofKey(n.key, p.All, topic{kind: topicPart, part: p.Name})
		}
	}
	return ofKey(n.key, s.all, topic{kind: topicKey})
}

func ofKey(key string, all bool, t topic) topic {
	if !all {
		t.text = key
	}
	return t
}

// equal compares with what a publisher says; lessons are no difference.
func (s *scope) equal(def *Scope) bool {
	if s == nil || def == nil {
		return s == nil && def == nil
	}
	return s.asks == def.Asks && s.all == def.All && slices.Equal(s.keys, def.Keys) && slices.EqualFunc(s.parts, def.Parts, Part.equal)
}

// sees tells whether a name is in the scope of the class.
func (c *class) sees(t *table, id uint32) bool {
	s, n := c.scope, t.byID[id]
	switch {
	case n != nil && n.hidden:
		return c.asks() && s.follows(t.typ, n.text)
	case s == nil || n == nil || n.key == "" || n.leads && s.asks:
		return true
	case n.key == Rest:
		return !s.asks || s.follows(topicRoutes, n.parent)
	}
	return s.reasons[s.belonging(n)] > 0 || s.follows(t.typ, n.text) || n.parent != "" && s.follows(topicRoutes, n.parent)
}

// enlist lets changes of all resources of a type reach a session that wants
// them. Resources with a key reach those of a class with a scope through it.
func (c *class) enlist(s *session, l *lane) {
	if !l.wild {
		return
	}
	for _, layer := range c.layers {
		if c.scope == nil {
			layer.shelf(l.table).wild[s] = struct{}{}
		} else {
			layer.shelf(l.table).narrow[s] = struct{}{}
		}
	}
}

func (c *class) delist(s *session, l *lane) {
	for _, layer := range c.layers {
		if shelf := layer.shelves[l.table]; shelf != nil {
			delete(shelf.wild, s)
			delete(shelf.narrow, s)
		}
	}
}

// eachViewer calls f for the classes with a scope that see a name of a layer,
// which has a key.
func (h *Hub) eachViewer(sh *shelf, n *name, f func(*class)) {
	if n.key == Rest || n.leads {
		for c := range sh.layer.scoped {
			if c.sees(sh.table, n.id) || n.key == Rest {
				f(c)
			}
		}
		return
	}
	topics := [...]topic{
		{kind: sh.table.typ, text: n.text},
		{kind: topicKey, text: n.key},
		{kind: topicKey},
		{kind: topicPart, text: n.key, part: n.part},
		{kind: topicPart, part: n.part},
		{kind: topicRoutes, text: n.parent},
	}
	for i, t := range topics {
		for c := range h.followers[t] {
			if c.has(sh.layer) && c.scope.counts(t, n) && !slices.ContainsFunc(topics[:i], func(t topic) bool { return c.scope.counts(t, n) }) {
				f(c)
			}
		}
		if n.hidden {
			return
		}
	}
}

// counts tells whether a topic of a name is a reason to see it.
func (s *scope) counts(t topic, n *name) bool {
	if t.kind == topicKey || t.kind == topicPart {
		return t == s.belonging(n) && s.reasons[t] > 0
	}
	return s.reasons[t] > 0
}

// rescope gives a class a scope, or none. What it learned stays learned.
func (h *Hub) rescope(c *class, def *Scope) {
	old := c.scope
	if old != nil {
		for t := range old.reasons {
			h.unindex(c, t)
		}
		for _, l := range c.layers {
			delete(l.scoped, c)
		}
	}
	if c.scope = nil; def == nil || c.overflowed {
		return
	}
	c.scope = &scope{
		asks: def.Asks, keys: def.Keys, all: def.All, parts: def.Parts, reasons: map[topic]int{}, lessons: map[Lesson]struct{}{},
		needs: map[string][]string{}, unknown: map[string]struct{}{},
	}
	for _, l := range c.layers {
		if l.scoped == nil {
			l.scoped = map[*class]struct{}{}
		}
		l.scoped[c] = struct{}{}
	}
	h.followKeys(c, def.Keys, def.All, topic{kind: topicKey})
	for _, p := range def.Parts {
		h.followKeys(c, p.Keys, p.All, topic{kind: topicPart, part: p.Name})
	}
	if old != nil && old.asks && def.Asks {
		h.inherit(c, old)
	}
	if def.Asks {
		for text := range c.addresses {
			h.follow(c, topic{kind: ClusterType, text: text})
		}
		h.remake(c)
	}
	h.teach(c, def)
	for _, typ := range []string{VirtualHostType, ListenerType} {
		if t := h.tables[typ]; t != nil && c.scope.heeds(typ) {
			for _, id := range c.visible(t) {
				h.heed(c, t, t.byID[id])
			}
		}
	}
}

// followKeys lets a class see what has one of the keys.
func (h *Hub) followKeys(c *class, keys []string, all bool, t topic) {
	if all {
		h.follow(c, t)
		return
	}
	for _, key := range keys {
		h.follow(c, ofKey(key, false, t))
	}
}

func (h *Hub) follow(c *class, t topic) {
	c.scope.reasons[t]++
	if c.scope.reasons[t] > 1 {
		return
	}
	if h.followers[t] == nil {
		h.followers[t] = map[*class]struct{}{}
	}
	h.followers[t][c] = struct{}{}
	h.shift(c, t)
}

func (h *Hub) unfollow(c *class, t topic) {
	if c.scope.reasons[t]--; c.scope.reasons[t] > 0 {
		return
	}
	delete(c.scope.reasons, t)
	h.unindex(c, t)
	h.shift(c, t)
}

func (h *Hub) unindex(c *class, t topic) {
	delete(h.followers[t], c)
	if len(h.followers[t]) == 0 {
		delete(h.followers, t)
	}
}

// shift notes that the names of a topic came into the scope of a class or left
// it. Keys change only with the definition of a class, which compares all.
func (h *Hub) shift(c *class, t topic) {
	c.scope.revision++
	if t.kind == topicRoutes {
		hosts := h.tables[VirtualHostType]
		for n := range hosts.children[t.text] {
			h.shifted(c, hosts, n)
		}
	} else if table := h.tables[t.kind]; table != nil {
		if n := table.byText[t.text]; n != nil {
			h.shifted(c, table, n)
		}
	}
}

func (h *Hub) shifted(c *class, t *table, n *name) {
	h.shifts = append(h.shifts, shift{c, t, n.id})
	h.heed(c, t, n)
}

// shift is a name that a class may see otherwise than before, for a reason
// that is not a change of the name. Its sessions are told when the present
// change is complete, because one of them may be locked now.
type shift struct {
	class *class
	table *table
	id    uint32
}

// heeds tells whether resources of a type bring the clusters that they need. A class
// that asks sees listeners of all hosts, and asks for the clusters when it needs them.
func (s *scope) heeds(typ string) bool {
	return typ == VirtualHostType || typ == ListenerType && !s.asks
}

// heed makes a class see the clusters that a host or a listener needs, as long as
// it sees that.
func (h *Hub) heed(c *class, t *table, n *name) {
	if !c.scope.heeds(t.typ) {
		return
	}
	var needs []string
	if v := c.effective(t, n.id); v != nil {
		needs = v.res.Needs
	}
	old := c.scope.needs[n.text]
	if slices.Equal(old, needs) {
		return
	}
	if len(needs) == 0 {
		delete(c.scope.needs, n.text)
	} else {
		c.scope.needs[n.text] = needs
	}
	for _, cluster := range needs {
		h.follow(c, topic{kind: ClusterType, text: cluster})
	}
	for _, cluster := range old {
		h.unfollow(c, topic{kind: ClusterType, text: cluster})
	}
}

// stir tells the sessions of a class that a name changed.
func (h *Hub) stir(c *class, t *table, n *name) (marked int) {
	switch {
	case !c.scope.asks:
	case n.key == Rest && t.typ == ClusterType:
		h.remake(c)
	case n.key == Rest:
		h.restate(c, t, n.parent)
	case n.hidden:
		h.settleAddress(c, t, n)
	}
	h.heed(c, t, n)
	if n.key == Rest && !c.sees(t, n.id) {
		return 0
	}
	for s := range c.sessions {
		h.mark(s, t, n.id)
		marked++
	}
	return marked
}

// flush tells the sessions of everything that came into the scope of their
// class or left it.
func (h *Hub) flush() {
	for len(h.shifts) > 0 || len(h.spilt) > 0 {
		shifts, spilt := h.shifts, h.spilt
		h.shifts, h.spilt = nil, nil
		for _, sh := range shifts {
			for s := range sh.class.sessions {
				h.mark(s, sh.table, sh.id)
			}
		}
		for _, c := range spilt {
			own := c.own
			c.abandon()
			layers := slices.DeleteFunc(slices.Clone(c.layers), func(l *layer) bool { return l == c.over || l == own && c.own == nil })
			h.relayer(c, layers, nil, map[*layer]struct{}{})
			for s := range c.sessions {
				h.refresh(s)
			}
		}
	}
}
