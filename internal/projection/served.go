// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// served is the fields of a kind that have an effect. A path is made of JSON names,
// with [] after a list and {} after a map; it stands for everything below it.
type served map[string]struct{}

func serves(paths ...string) served {
	out := served{}
	for _, p := range paths {
		out[p] = struct{}{}
	}
	return out
}

// whole tells whether a path and everything below it is served.
func (s served) whole(pattern string) bool { _, ok := s[pattern]; return ok }

// part tells whether something below a path is served.
func (s served) part(pattern string) bool {
	for p := range s {
		if rest, ok := strings.CutPrefix(p, pattern); ok && rest != "" && strings.ContainsRune(".[{", rune(rest[0])) {
			return true
		}
	}
	return false
}

// gap is a field that is set and not served.
type gap struct {
	at      path   // in the object
	pattern string // as in served
	indices []int  // of the lists on the way
}

// gaps finds every set field that is not served, so that nothing can be dropped
// silently, whatever fields the API will get.
func (s served) gaps(m protoreflect.Message) []gap {
	var out []gap
	s.walk(m, spec, "", nil, &out)
	slices.SortFunc(out, func(a, b gap) int { return strings.Compare(string(a.at), string(b.at)) })
	return out
}

func (s served) walk(m protoreflect.Message, at path, pattern string, indices []int, out *[]gap) {
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		name := fd.JSONName()
		next := name
		if pattern != "" {
			next = pattern + "." + name
		}
		here := at.field(name)
		if s.whole(next) {
			return true
		}
		switch {
		case fd.IsMap():
			s.walkMap(fd, v.Map(), here, next+"{}", indices, out)
		case fd.IsList():
			s.walkList(fd, v.List(), here, next+"[]", indices, out)
		default:
			s.visit(fd.Message() != nil, v, here, next, indices, out)
		}
		return true
	})
}

func (s served) walkMap(fd protoreflect.FieldDescriptor, m protoreflect.Map, at path, pattern string, indices []int, out *[]gap) {
	if s.whole(pattern) {
		return
	}
	if fd.MapValue().Message() == nil || !s.part(pattern) {
		*out = append(*out, gap{at, pattern, indices})
		return
	}
	m.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
		s.visit(true, v, at.key(k.String()), pattern, indices, out)
		return true
	})
}

func (s served) walkList(fd protoreflect.FieldDescriptor, l protoreflect.List, at path, pattern string, indices []int, out *[]gap) {
	if s.whole(pattern) {
		return
	}
	if fd.Message() == nil || !s.part(pattern) {
		*out = append(*out, gap{at, pattern, indices})
		return
	}
	for i := range l.Len() {
		s.visit(true, l.Get(i), at.index(i), pattern, append(slices.Clone(indices), i), out)
	}
}

func (s served) visit(message bool, v protoreflect.Value, at path, pattern string, indices []int, out *[]gap) {
	if s.whole(pattern) {
		return
	}
	if !message || !s.part(pattern) {
		*out = append(*out, gap{at, pattern, indices})
		return
	}
	s.walk(v.Message(), at, pattern, indices, out)
}
