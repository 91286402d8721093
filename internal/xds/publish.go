// SPDX-License-Identifier: Apache-2.0

package xds

import "slices"

// Publish makes a batch visible to all sessions at once. Removals come before
// placements, and classes come last. It costs a step per change and
// subscriber of what changed, and blocks on no client.
func (h *Hub) Publish(b Batch) Receipt {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.batch++
	var r Receipt
	loose := map[*layer]struct{}{}
	var gone []*version
	for _, rm := range b.Delete {
		h.remove(rm, &r, loose, &gone)
	}
	for _, p := range b.Set {
		h.place(p, &r, &gone)
	}
	for _, c := range b.Classes {
		h.define(c, loose)
	}
	for _, key := range b.DropClasses {
		h.undefine(key, loose)
	}
	for l := range loose {
		if l.unused() {
			delete(h.layers, l.key)
		}
	}
	h.settleTallies(gone)
	h.sweep()
	h.wake()
	return r
}

func (h *Hub) remove(rm Removal, r *Receipt, loose map[*layer]struct{}, gone *[]*version) {
	l, t := h.layers[rm.Layer], h.tables[rm.Type]
	if l == nil || t == nil || l.shelves[t] == nil {
		return
	}
	n, old := l.shelves[t].remove(rm.Name)
	if old == nil {
		return
	}
	h.dismiss(old)
	*gone = append(*gone, old)
	r.Changed++
	r.Marked += h.touch(l.shelves[t], n)
	loose[l] = struct{}{}
}

func (h *Hub) place(p Placement, r *Receipt, gone *[]*version) {
	t := h.table(p.Resource.Type)
	if t == nil {
		h.opts.Log.Info(msgTooManyTypes, keyType, p.Resource.Type, keyName, p.Resource.Name)
		return
	}
	sh := h.layer(p.Layer).shelf(t)
	known := t.byText[p.Resource.Name]
	moved := known != nil && (known.key != p.Resource.Key || known.part != p.Resource.Part || known.leads != p.Resource.Leads)
	v, old := sh.set(p.Resource)
	if v == nil {
		return
	}
	n := v.name
	if moved {
		h.move(t, n)
	}
	if old != nil {
		h.dismiss(old)
		*gone = append(*gone, old)
	}
	h.enroll(v)
	r.Changed++
	h.introduce(sh, n)
	r.Marked += h.touch(sh, n)
}

// move lets everybody with a scope look again whether it sees a name, whose reasons
// to be seen have changed.
func (h *Hub) move(t *table, n *name) {
	for _, l := range h.layers {
		if sh := l.shelves[t]; sh != nil && sh.entries[n.id] != nil {
			l.generation++
			for c := range l.scoped {
				h.stir(c, t, n)
			}
		}
	}
}

// define gives a class its layers and lets its sessions compare everything.
func (h *Hub) define(def Class, loose map[*layer]struct{}) {
	c := h.class(def.Key)
	layers := make([]*layer, 0, len(def.Layers)+2)
	if c.overflowed {
		def.Scope = nil
	}
	if def.Scope == nil || !def.Scope.Asks {
		c.abandon()
	} else if c.own == nil {
		c.own = &layer{shelves: map[*table]*shelf{}}
	}
	if c.own != nil {
		layers = append(layers, c.own)
	}
	for _, key := range def.Layers {
		if l := h.layer(key); !slices.Contains(layers, l) {
			layers = append(layers, l)
		}
	}
	c.over = nil
	if def.Scope != nil && def.Scope.Over != "" {
		c.over = h.layer(def.Scope.Over)
		layers = append(layers, c.over)
	}
	if c.defined && slices.Equal(c.layers, layers) && c.scope.equal(def.Scope) {
		h.teach(c, def.Scope)
		return
	}
	c.defined = true
	h.relayer(c, layers, def.Scope, loose)
	for s := range c.sessions {
		h.refresh(s)
	}
}

// undefine forgets the layers of a class. Its sessions keep what they hold.
func (h *Hub) undefine(key string, loose map[*layer]struct{}) {
	c := h.classes[key]
	if c == nil {
		return
	}
	c.defined, c.overflowed, c.addresses = false, false, nil
	c.abandon()
	h.relayer(c, nil, nil, loose)
	h.reap(c)
}

func (h *Hub) relayer(c *class, layers []*layer, sc *Scope, loose map[*layer]struct{}) {
	h.eachLane(c, c.delist)
	for _, l := range c.layers {
		l.classes--
		delete(l.scoped, c)
		loose[l] = struct{}{}
	}
	for _, l := range layers {
		l.classes++
	}
	c.layers, c.lists = layers, nil
	h.rescope(c, sc)
	h.eachLane(c, c.enlist)
}

// eachLane calls f for the lanes of all sessions of a class.
func (h *Hub) eachLane(c *class, f func(*session, *lane)) {
	for s := range c.sessions {
		s.mu.Lock()
		for _, l := range s.lanes {
			f(s, l)
		}
		s.mu.Unlock()
	}
}

// refresh marks everything that the client of a session holds or may want.
func (h *Hub) refresh(s *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lanes {
		h.consider(s, l, l.claims != nil)
		l.held.each(func(id uint32, _ cell) { l.pending.add(id, h.batch, h.batch) })
		if l.flight != nil {
			// What the client is about to hold counts as well.
			for _, it := range l.flight.items {
				l.pending.add(it.name.id, h.batch, h.batch)
			}
		}
		if l.wild {
			l.startScan(s.class.visible(l.table), h.batch)
		}
	}
	h.later(s)
}
