// SPDX-License-Identifier: Apache-2.0

package xds

import "strings"

// Questions for virtual hosts.
//
// A client whose class asks holds only the hosts that it uses. A request for
// another one makes Envoy ask for ROUTECONFIG/HOST, where HOST is what the
// request said: a short name, an address, with or without a port. The answer
// must carry the asked name as an alias, or the request waits for ever.

// consider answers questions, and compares what a client claims to hold, as
// soon as its class is known. What it asks for and claims to hold teaches.
func (h *Hub) consider(s *session, l *lane, first bool) {
	type meaning struct {
		text string
		name *name
	}
	var meant []meaning
	absent := map[string]struct{}{}
	if first {
		h.learnHidden(s, l)
		h.learnClaims(s, l)
		l.claims.each(func(text, version []byte) {
			if string(version) == absentVersion {
				absent[string(text)] = struct{}{}
			}
		})
	}
	for _, text := range l.questions {
		meant = append(meant, meaning{text, h.lookUp(s.class, l.table, text)})
	}
	l.questions = nil
	if l.table.typ == ClusterType && s.class.asks() {
		l.held.each(func(id uint32, c cell) {
			if c.asked() {
				h.want(s.class, l.table, l.table.byID[id])
			}
		})
	}
	if first {
		h.compareClaims(s, l)
	}
	for _, m := range meant {
		if m.name == nil {
			// It gets its answer and is not kept, or requests with made-up hosts
			// would fill the memory.
			l.strangers = append(l.strangers, l.table.intern(m.text).id)
			continue
		}
		c := l.held.get(m.name.id)
		if v := s.class.effective(l.table, m.name.id); first && v != nil && c.serial() == v.serial {
			// It asks because it connected again, and holds the answer. Should a
			// request still wait for it under another name, "there is no host of
			// this name" makes it look again, and find the one that there is.
			if _, told := absent[m.text]; !told && m.text != m.name.text {
				l.strangers = append(l.strangers, l.table.intern(m.text).id)
			}
			continue
		}
		l.hold(m.name.id, c.forced())
		l.await(m.name.id, m.text)
	}
	for _, m := range meant {
		if m.name != nil {
			l.pending.add(m.name.id, h.batch, h.batch)
		}
	}
}

// await notes that a request waits for a host under a name.
func (l *lane) await(id uint32, text string) {
	if l.asks == nil {
		l.asks = map[uint32][]string{}
	}
	l.asks[id] = append(l.asks[id], text)
}

// answerAgain notes that the answer to questions was in a refused response.
func (l *lane) answerAgain(it item) {
	if l.table.typ != VirtualHostType || !l.wild {
		return
	}
	if it.version == nil && it.serial == serialAbsent && it.asked == "" {
		l.strangers = append(l.strangers, it.name.id)
	}
	for _, text := range strings.Fields(it.asked) {
		if text != it.name.text || !l.held.get(it.name.id).asked() {
			l.await(it.name.id, text)
		}
	}
}

func (c *class) asks() bool { return c.scope != nil && c.scope.asks }

// lookUp finds the host that a question means. For a class that asks it is in
// scope from then on, and made up when it does not exist.
func (h *Hub) lookUp(c *class, t *table, text string) *name {
	text = canonical(text)
	n := c.meant(t, text)
	switch {
	case !c.asks():
		if n != nil && !c.sees(t, n.id) {
			return nil
		}
		return n
	case n != nil:
		if _, own := c.scope.unknown[n.text]; !own {
			h.learnName(c, t, n)
		}
		return n
	}
	return h.unknownHost(c, t, text)
}

func (h *Hub) learnName(c *class, t *table, n *name) {
	if c.asks() && (n.placements == 0 || n.key != "" && !c.sees(t, n.id)) {
		h.learn(c, t.typ, n.text)
	}
}

// meant is the host that has a name among its own, nil for none: by its name,
// its aliases, or the most specific wildcard.
func (c *class) meant(t *table, text string) *name {
	parent, host, _ := strings.Cut(text, "/")
	for candidate := text; ; {
		if n := t.byText[candidate]; n != nil && n.key != Rest && c.published(t, n.id) != nil {
			return n
		}
		var found *name
		for n := range t.aliases[candidate] {
			if v := c.published(t, n.id); v != nil && v.res.answers(candidate) && (found == nil || n.text < found.text) {
				found = n
			}
		}
		if found != nil {
			return found
		}
		_, tail, ok := strings.Cut(host, ".")
		if !ok {
			return nil
		}
		host = tail
		candidate = parent + "/*." + tail
	}
}

func (r *Resource) answers(alias string) bool {
	for _, a := range r.Aliases {
		if a == alias {
			return true
		}
	}
	return false
}

// canonical is the asked name as hosts write it: in lower case, without port.
func canonical(text string) string {
	text = strings.ToLower(text)
	at := strings.LastIndexByte(text, ':')
	if at < 0 || strings.Trim(text[at+1:], "0123456789") != "" || strings.HasSuffix(text, "]") {
		return text
	}
	return text[:at]
}

// unknownHost makes up a host that a class asked for, nil when it is to be told
// that there is none. The class follows its name: should it appear, it is sent.
func (h *Hub) unknownHost(c *class, t *table, text string) *name {
	parent := routeConfigOf(text)
	rest := t.rest[parent]
	if rest != nil && c.published(t, rest.id) == nil {
		rest = nil
	}
	if rest != nil && c.sees(t, rest.id) {
		return rest
	}
	_, known := c.scope.unknown[text]
	if !known && len(c.scope.unknown) >= h.opts.MaxUnknown {
		if rest != nil {
			h.follow(c, topic{kind: topicRoutes, text: parent})
		}
		return rest
	}
	if !known {
		text = strings.Clone(text)
		c.scope.unknown[text] = struct{}{}
		h.follow(c, topic{kind: t.typ, text: text})
	}
	return h.state(c, t, rest, text)
}

// state places the host that stands for one that does not exist.
func (h *Hub) state(c *class, t *table, rest *name, text string) *name {
	if rest == nil || h.opts.Unknown == nil {
		return nil
	}
	r, err := h.opts.Unknown(c.published(t, rest.id).res, text)
	if err != nil {
		h.opts.Log.Error(err, msgUnknown, keyName, text)
		return nil
	}
	made := *r
	made.Key = text
	set, _ := c.own.shelf(t).set(&made)
	n := t.byText[made.Name]
	if set != nil {
		h.shifts = append(h.shifts, shift{c, t, n.id})
	}
	return n
}

// abandon forgets the hosts that were made up for a class. The clusters stay: they have
// connections.
func (c *class) abandon() {
	if c.own == nil {
		return
	}
	for t, sh := range c.own.shelves {
		if t.typ == ClusterType && len(c.addresses) > 0 {
			continue
		}
		for id := range sh.entries {
			sh.remove(t.byID[id].text)
		}
	}
	if len(c.addresses) == 0 {
		c.own = nil
	}
}

// restate makes the hosts that do not exist again, because what happens to
// their requests changed.
func (h *Hub) restate(c *class, t *table, parent string) {
	rest := t.rest[parent]
	if rest != nil && c.published(t, rest.id) == nil {
		rest = nil
	}
	for text := range c.scope.unknown {
		if routeConfigOf(text) != parent {
			continue
		}
		if h.state(c, t, rest, text) != nil {
			continue
		}
		if n, old := c.own.shelf(t).remove(text); old != nil {
			h.shifts = append(h.shifts, shift{c, t, n.id})
		}
	}
}

// introduce lets a host take the place of those that were made up under one of
// its names before it existed.
func (h *Hub) introduce(sh *shelf, n *name) {
	t := sh.table
	if n.hidden && n.key != Rest {
		h.expect(sh, n)
	}
	if t.typ != VirtualHostType || n.key == Rest || len(sh.layer.scoped) == 0 {
		return
	}
	r := sh.entries[n.id].want.res
	for _, alias := range append([]string{r.Name}, r.Aliases...) {
		for c := range h.followers[topic{kind: t.typ, text: alias}] {
			if c.has(sh.layer) {
				h.replace(c, t, alias, n)
			}
		}
		_, host, _ := strings.Cut(alias, "/")
		if !strings.HasPrefix(host, "*.") {
			continue
		}
		for c := range sh.layer.scoped {
			for text := range c.scope.unknown {
				if routeConfigOf(text) == n.parent && strings.HasSuffix(text, host[1:]) && c.meant(t, text) != nil {
					h.replace(c, t, text, n)
				}
			}
		}
	}
}

// replace forgets that a class asked for a host that does not exist.
func (h *Hub) replace(c *class, t *table, text string, by *name) {
	if _, ok := c.scope.unknown[text]; !ok {
		return
	}
	delete(c.scope.unknown, text)
	h.learn(c, t.typ, by.text)
	if n, old := c.own.shelf(t).remove(text); old != nil {
		h.shifts = append(h.shifts, shift{c, t, n.id})
	}
	h.unfollow(c, topic{kind: t.typ, text: text})
}

// learnClaims teaches a class what a client holds that connected again: the
// class may be new here. A client that holds Rest did not learn what it holds.
func (h *Hub) learnClaims(s *session, l *lane) {
	if !s.class.asks() || l.table.typ != VirtualHostType {
		return
	}
	all := map[string]bool{}
	l.claims.each(func(text, _ []byte) {
		if n := l.table.byText[string(text)]; n != nil && n.key == Rest {
			all[n.parent] = true
		}
	})
	l.claims.each(func(text, _ []byte) {
		if n := l.table.byText[string(text)]; n != nil && n.key != Rest && !all[n.parent] && n.placements > 0 {
			h.learnName(s.class, l.table, n)
		}
	})
	if clusters := s.lane(ClusterType); clusters != nil && len(all) == 0 {
		clusters.held.each(func(id uint32, c cell) {
			if n := clusters.table.byID[id]; c.serial() > serialAbsent && n.placements > 0 {
				h.want(s.class, clusters.table, n)
			}
		})
	}
}

// learnHidden teaches a class the addresses whose clusters a client holds: it, or a
// sibling, asked for them.
func (h *Hub) learnHidden(s *session, l *lane) {
	if !s.class.asks() || l.table.typ != ClusterType {
		return
	}
	l.claims.each(func(text, _ []byte) {
		switch n := l.table.byText[string(text)]; {
		case n == nil:
			h.invent(s.class, l.table, string(text))
		case n.hidden && n.key != Rest:
			h.want(s.class, l.table, n)
		}
	})
}

// untold is true while a client that was connected before has not said which
// hosts it holds: they say which clusters it uses.
func (s *session) untold() bool {
	return s.claimed && s.class.asks() && s.lane(VirtualHostType) == nil
}
