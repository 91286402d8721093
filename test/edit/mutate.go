// SPDX-License-Identifier: Apache-2.0

package edit

import (
	"math/rand/v2"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// longest is how many entries a list may grow to.
const longest = 8

// files are fields that name a file of the proxy's. What is not there is refused by
// Envoy, and nobody else can know.
var files = map[protoreflect.Name]bool{
	"client_certificate": true, "server_certificate": true, "private_key": true, "ca_certificates": true, "ca_crl": true,
}

// mutate changes one field somewhere in a message.
func (c *Corpus) mutate(r *rand.Rand, root protoreflect.Message) {
	nodes := nodes(nil, root)
	m := nodes[r.IntN(len(nodes))]
	fields := m.Descriptor().Fields()
	if fields.Len() == 0 {
		return
	}
	f := fields.Get(r.IntN(fields.Len()))
	switch {
	case files[f.Name()]:
	case f.IsMap():
		c.mutateMap(r, m, f)
	case f.IsList():
		c.mutateList(r, m, f)
	case r.IntN(4) == 0:
		m.Clear(f)
	default:
		if v, ok := c.value(r, f); ok {
			m.Set(f, v)
		}
	}
}

func nodes(out []protoreflect.Message, m protoreflect.Message) []protoreflect.Message {
	out = append(out, m)
	for f, v := range present(m) {
		switch {
		case f.IsMap() || f.Message() == nil:
		case f.IsList():
			for i := range v.List().Len() {
				out = nodes(out, v.List().Get(i).Message())
			}
		default:
			out = nodes(out, v.Message())
		}
	}
	return out
}

func (c *Corpus) mutateMap(r *rand.Rand, m protoreflect.Message, f protoreflect.FieldDescriptor) {
	known := c.entries[f.FullName()]
	if len(known) == 0 || r.IntN(4) == 0 {
		m.Clear(f)
		return
	}
	e := known[r.IntN(len(known))]
	value := e.value
	if f.MapValue().Message() != nil {
		value = protoreflect.ValueOfMessage(proto.Clone(value.Message().Interface()).ProtoReflect())
	}
	m.Mutable(f).Map().Set(e.key, value)
}

// mutateList adds, takes away, or changes the order: rules have one.
func (c *Corpus) mutateList(r *rand.Rand, m protoreflect.Message, f protoreflect.FieldDescriptor) {
	list := m.Mutable(f).List()
	switch n := list.Len(); {
	case n > 0 && (n >= longest || r.IntN(3) == 0):
		i := r.IntN(n)
		list.Set(i, list.Get(n-1))
		list.Truncate(n - 1)
	case n > 1 && r.IntN(2) == 0:
		i, j := r.IntN(n), r.IntN(n)
		a, b := list.Get(i), list.Get(j)
		list.Set(i, b)
		list.Set(j, a)
	default:
		v, ok := c.value(r, f)
		if !ok {
			return
		}
		list.Append(v)
		last := list.Len() - 1
		i := r.IntN(last + 1)
		a, b := list.Get(i), list.Get(last)
		list.Set(i, b)
		list.Set(last, a)
	}
}

// value is one that some object has in that field, or, of a field that none has, any.
func (c *Corpus) value(r *rand.Rand, f protoreflect.FieldDescriptor) (protoreflect.Value, bool) {
	if d := f.Message(); d != nil {
		known := c.messages[d.FullName()]
		if len(known) == 0 {
			return protoreflect.Value{}, false
		}
		return protoreflect.ValueOfMessage(proto.Clone(known[r.IntN(len(known))].Interface()).ProtoReflect()), true
	}
	if known := c.values[f.FullName()]; len(known) > 0 && r.IntN(8) > 0 {
		return known[r.IntN(len(known))], true
	}
	n := []int64{0, 1, 2, 100, 503, 8080, 65535, 1 << 30}[r.IntN(8)]
	switch f.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(r.IntN(2) == 0), true
	case protoreflect.EnumKind:
		values := f.Enum().Values()
		return protoreflect.ValueOfEnum(values.Get(r.IntN(values.Len())).Number()), true
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(int32(n)), true
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(n), true
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(n)), true
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(uint64(n)), true
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(float64(n) / 8), true
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(float32(n) / 8), true
	case protoreflect.StringKind:
		words := []string{"", "a", "*", "v1", "x-user", "/a", "example.com", "*.example.com", "10.0.0.0/8", "%REQ(x)%", "ä", "a b"}
		return protoreflect.ValueOfString(words[r.IntN(len(words))]), true
	default:
		return protoreflect.Value{}, false
	}
}
