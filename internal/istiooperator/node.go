// SPDX-License-Identifier: Apache-2.0

package istiooperator

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// node is a field of the input.
type node struct {
	c     *conversion
	path  string
	value any
}

// at returns the field at a path of names with dots between them. A field that
// is null is not there.
func (n node) at(path string) (node, bool) {
	for name := range strings.SplitSeq(path, ".") {
		object, ok := n.value.(map[string]any)
		if !ok || object[name] == nil {
			return node{}, false
		}
		n = n.child(name)
	}
	return n, true
}

// child returns the field of a name, whatever is in the name.
func (n node) child(name string) node {
	object, _ := n.value.(map[string]any)
	return node{c: n.c, path: n.path + suffix(name), value: object[name]}
}

// items returns the items of a list.
func (n node) items() []node {
	list, _ := n.value.([]any)
	out := make([]node, len(list))
	for i, item := range list {
		out[i] = node{c: n.c, path: fmt.Sprintf("%s[%d]", n.path, i), value: item}
	}
	return out
}

// names returns the names of the fields of an object, sorted.
func (n node) names() []string {
	object, _ := n.value.(map[string]any)
	return slices.Sorted(maps.Keys(object))
}

// use notes that a field is in the spec.
func (n node) use() { n.c.done[n.path] = true }

// miss notes that a field has no effect.
func (n node) miss(reason string) {
	if !n.c.done[n.path] {
		n.c.unmapped = append(n.c.unmapped, Unmapped{Path: n.path, Reason: reason})
	}
	n.c.done[n.path] = true
}

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

func suffix(name string) string {
	if identifier.MatchString(name) {
		return "." + name
	}
	return fmt.Sprintf("[%q]", name)
}

// place is an object of the spec.
type place struct {
	object map[string]any
	path   string
}

// get returns what is at a path; nil when nothing is.
func (p place) get(path string) any {
	var value any = p.object
	for name := range strings.SplitSeq(path, ".") {
		object, _ := value.(map[string]any)
		value = object[name]
	}
	return value
}

func (p place) set(path string, value any) {
	names := strings.Split(path, ".")
	object := p.object
	for _, name := range names[:len(names)-1] {
		under, ok := object[name].(map[string]any)
		if !ok {
			under = map[string]any{}
			object[name] = under
		}
		object = under
	}
	object[names[len(names)-1]] = value
}

// put says at a place what a field says. What was put first stays.
func (c *conversion) put(p place, path string, n node, value any) {
	before := p.get(path)
	switch {
	case before == nil:
		p.set(path, value)
		c.origin[p.path+"."+path] = n.path
	case !reflect.DeepEqual(before, value):
		from := c.origin[p.path+"."+path]
		if from == "" {
			from = "another field"
		}
		n.miss(from + " goes before it")
		return
	}
	n.use()
}

// field says where a field of the input goes.
type field struct {
	from, to string
	as       check
}

// move puts the fields of a table from a field to a place.
func (c *conversion) move(from node, to place, fields []field) {
	for _, f := range fields {
		n, ok := from.at(f.from)
		if !ok {
			continue
		}
		value, err := f.as(n.value)
		switch {
		case err != nil:
			n.miss(err.Error())
		case value == nil:
			n.use()
		default:
			c.put(to, f.to, n, value)
		}
	}
}

// rest lists every field that nobody dealt with.
func (c *conversion) rest(n node) {
	if n.value == nil || c.done[n.path] {
		return
	}
	switch value := n.value.(type) {
	case map[string]any:
		for _, name := range n.names() {
			c.rest(n.child(name))
		}
	case []any:
		if !slices.ContainsFunc(value, func(item any) bool { _, ok := item.(map[string]any); return ok }) {
			if len(value) > 0 {
				n.miss(reason(n.path))
			}
			return
		}
		for _, item := range n.items() {
			c.rest(item)
		}
	default:
		n.miss(reason(n.path))
	}
}
