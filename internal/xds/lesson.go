// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// inherit takes over what a class knew before its scope or layers changed.
func (h *Hub) inherit(c *class, old *scope) {
	for l := range old.lessons {
		h.learn(c, l.Type, l.Name)
	}
	for t := range old.reasons {
		if t.kind == topicRoutes {
			h.follow(c, t)
		}
	}
	hosts := h.tables[VirtualHostType]
	for _, text := range slices.Sorted(maps.Keys(old.unknown)) {
		if c.own != nil {
			c.own.shelf(hosts).remove(text)
		}
		if n := c.meant(hosts, text); n != nil {
			h.learn(c, VirtualHostType, n.text)
		} else {
			h.unknownHost(c, hosts, text)
		}
	}
}

// teach adds lessons to what a class knows.
func (h *Hub) teach(c *class, def *Scope) {
	if def == nil || !def.Asks {
		return
	}
	for _, l := range def.Lessons {
		if c.scope != nil {
			h.learn(c, l.Type, l.Name)
		}
	}
}

// learn makes a class see a virtual host or a cluster from now on.
func (h *Hub) learn(c *class, typ, text string) {
	l := Lesson{typ, text}
	if _, known := c.scope.lessons[l]; known || c.overflowed {
		return
	}
	if len(c.scope.lessons) >= h.opts.MaxLessons {
		c.forget(h)
		if len(c.scope.lessons) >= h.opts.MaxLessons {
			h.spill(c)
			return
		}
	}
	l = Lesson{typ, strings.Clone(text)}
	c.scope.lessons[l] = struct{}{}
	h.taught[c] = struct{}{}
	h.follow(c, topic{kind: l.Type, text: l.Name})
}

// spill lets a class see everything once the present change is complete.
func (h *Hub) spill(c *class) {
	if !c.overflowed {
		c.overflowed = true
		h.spilt = append(h.spilt, c)
	}
}

// forget drops the lessons about what does not exist any more.
func (c *class) forget(h *Hub) {
	for l := range c.scope.lessons {
		if t := h.tables[l.Type]; t == nil || t.byText[l.Name] == nil || c.published(t, t.byText[l.Name].id) == nil {
			delete(c.scope.lessons, l)
			h.unfollow(c, topic{kind: l.Type, text: l.Name})
		}
	}
}

// Lessons returns what a class has learned and would need to start with, sorted.
func (h *Hub) Lessons(key string) []Lesson {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.classes[key]
	if c == nil || c.scope == nil {
		return nil
	}
	var out []Lesson
	for l := range c.scope.lessons {
		t := h.tables[l.Type]
		n := t.byText[l.Name]
		if n == nil || c.published(t, n.id) == nil || l.Type == ClusterType && c.scope.reasons[topic{kind: l.Type, text: l.Name}] > 1 {
			continue // gone, or seen as long as a host needs it
		}
		out = append(out, l)
	}
	slices.SortFunc(out, Lesson.Compare)
	return out
}

// Learned returns the classes that learned something since the last call.
func (h *Hub) Learned() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]string, 0, len(h.taught))
	for c := range h.taught {
		out = append(out, c.key)
	}
	clear(h.taught)
	slices.Sort(out)
	return out
}

// Teach adds to what a class knows. A class that may not ask learns nothing.
func (h *Hub) Teach(key string, lessons []Lesson) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c := h.classes[key]; c != nil && c.asks() {
		h.batch++
		h.teach(c, &Scope{Asks: true, Lessons: lessons})
		h.wake()
	}
}

// Extant returns those lessons whose resource some layer holds.
func (h *Hub) Extant(lessons []Lesson) []Lesson {
	h.mu.RLock()
	defer h.mu.RUnlock()
	out := make([]Lesson, 0, len(lessons))
	for _, l := range lessons {
		if t := h.tables[l.Type]; t != nil && t.byText[l.Name] != nil && t.byText[l.Name].placements > 0 {
			out = append(out, l)
		}
	}
	return out
}

// Compare orders lessons by type and name.
func (l Lesson) Compare(other Lesson) int {
	return cmp.Or(strings.Compare(l.Type, other.Type), strings.Compare(l.Name, other.Name))
}
