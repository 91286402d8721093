// SPDX-License-Identifier: Apache-2.0

package xds

// Clusters by address.
//
// A client that asks need not listen on an address before it calls it: what is meant
// for the address is carried to a cluster with the name of the address, which it asks
// for. Such clusters are hidden: nobody else is sent them. Where nobody has the address
// the class is served a cluster of its own making, or connections would be refused that
// a proxy which holds everything would have passed on.

// want lets a class see a cluster that one of its clients asked for or holds.
func (h *Hub) want(c *class, t *table, n *name) {
	if c.real(t, n) || !h.invent(c, t, n.text) {
		h.learnName(c, t, n)
	}
}

// real tells whether the layers of the class have a name, apart from what was made up.
func (c *class) real(t *table, n *name) bool {
	v := c.published(t, n.id)
	return v != nil && v.entry.shelf.layer != c.own
}

// invent makes a cluster up for an address that nobody has; it returns false for a name
// that is no address. A class that asks for too many sees everything from then on.
func (h *Hub) invent(c *class, t *table, text string) bool {
	if _, known := c.addresses[text]; known {
		return true
	}
	made := h.unknownCluster(c, t, text)
	if made == nil {
		return false
	}
	if len(c.addresses) >= h.opts.MaxUnknown {
		h.spill(c)
		return true
	}
	if c.addresses == nil {
		c.addresses = map[string]struct{}{}
	}
	c.addresses[made.Name] = struct{}{}
	h.follow(c, topic{kind: t.typ, text: made.Name})
	h.furnish(c, t, made)
	return true
}

// unknownCluster is what is served for an address that nobody has, nil for none.
func (h *Hub) unknownCluster(c *class, t *table, text string) *Resource {
	rest := t.rest[""]
	if rest == nil || h.opts.Unknown == nil {
		return nil
	}
	v := c.published(t, rest.id)
	if v == nil {
		return nil
	}
	r, err := h.opts.Unknown(v.res, text)
	if err != nil {
		h.opts.Log.Error(err, msgUnknown, keyName, text)
	}
	if err != nil || r == nil {
		return nil
	}
	made := *r
	made.Key, made.Hidden = text, true
	return &made
}

func (h *Hub) furnish(c *class, t *table, made *Resource) {
	if set, _ := c.own.shelf(t).set(made); set != nil {
		h.shifts = append(h.shifts, shift{c, t, set.name.id})
	}
}

// remake makes the clusters that do not exist again, because what becomes of their
// connections changed.
func (h *Hub) remake(c *class) {
	t := h.tables[ClusterType]
	for text := range c.addresses {
		if made := h.unknownCluster(c, t, text); made != nil {
			h.furnish(c, t, made)
		} else if n, old := c.own.shelf(t).remove(text); old != nil {
			h.shifts = append(h.shifts, shift{c, t, n.id})
		}
	}
}

// settleAddress follows the owner of an address: a new one takes the place of what was
// made up, and where one goes, those who asked for it are served as for any address
// that nobody has.
func (h *Hub) settleAddress(c *class, t *table, n *name) {
	_, madeUp := c.addresses[n.text]
	switch has := c.real(t, n); {
	case has && madeUp:
		h.learn(c, t.typ, n.text)
		delete(c.addresses, n.text)
		c.own.shelf(t).remove(n.text)
		h.unfollow(c, topic{kind: t.typ, text: n.text})
	case !has && !madeUp && h.isAsked(c, n):
		h.invent(c, t, n.text)
	}
}

// isAsked tells whether a client of the class subscribes to a name.
func (h *Hub) isAsked(c *class, n *name) (found bool) {
	n.asked.each(func(seat int) { found = found || h.seats[seat].class == c })
	return found
}

// expect lets classes see a hidden resource for which their clients asked before it was
// there, however long ago.
func (h *Hub) expect(sh *shelf, n *name) {
	n.asked.each(func(seat int) {
		if c := h.seats[seat].class; c.asks() && c.has(sh.layer) && !c.scope.follows(sh.table.typ, n.text) {
			h.learn(c, sh.table.typ, n.text)
		}
	})
}

// effective is the version that the client of a session is to hold: what its class
// sees; a hidden resource that it asked for; and what it keeps.
func (s *session) effective(l *lane, id uint32) *version {
	if v := s.class.effective(l.table, id); v != nil {
		return v
	}
	n, c := l.table.byID[id], l.held.get(id)
	if n != nil && (n.hidden && c.asked() || c.serial() > serialAbsent && s.keeps(l.table, n)) {
		return s.class.published(l.table, id)
	}
	return nil
}

// keeps tells whether a client that holds a resource which its class does not see keeps
// it for as long as it exists, because its connections would end: a hidden one always,
// and a listener that it could do without, because it may ask now.
func (s *session) keeps(t *table, n *name) bool {
	return n.hidden || t.typ == ListenerType && s.class.asks()
}

// eachKeeper calls f for the sessions that may keep a name of a layer although their class
// does not see it.
func (sh *shelf) eachKeeper(n *name, f func(*session)) {
	if !n.hidden && (sh.table.typ != ListenerType || n.leads) {
		return
	}
	for _, all := range []map[*session]struct{}{sh.wild, sh.narrow} {
		for s := range all {
			s.mu.Lock()
			l := s.lane(sh.table.typ)
			held := l != nil && l.held.get(n.id).serial() > serialAbsent
			s.mu.Unlock()
			if held && s.keeps(sh.table, n) && !s.class.sees(sh.table, n.id) {
				f(s)
			}
		}
	}
}
