// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshwright/meshwright/internal/ir"
)

// Effect is what becomes of a field that is set.
type Effect string

// The effects.
const (
	Served  Effect = "served"
	Ignored Effect = "ignored" // with a warning
	Refused Effect = "refused" // with an error, and what is left of the object stays safe
)

// Field is a field of a kind with everything below it.
type Field struct {
	Path   string // JSON names, with [] after a list and {} after a map
	Effect Effect
	Note   string // of one that is refused: what becomes of the object
}

// Fields is what becomes of each field of the kind, in the order of the API. What is
// not served is found by setting it and looking at what the projection says, so that
// this list cannot differ from what users are told.
func (k Kind) Fields() ([]Field, error) {
	var out []Field
	var walk func(d protoreflect.MessageDescriptor, prefix string) error
	walk = func(d protoreflect.MessageDescriptor, prefix string) error {
		for i := range d.Fields().Len() {
			fd := d.Fields().Get(i)
			pattern := prefix + fd.JSONName()
			element := pattern + suffix(fd)
			switch below := messageBelow(fd); {
			case k.served.whole(pattern), k.served.whole(element):
				out = append(out, Field{Path: element, Effect: Served})
			case below != nil && k.served.part(element):
				if err := walk(below, element+"."); err != nil {
					return err
				}
			default:
				f, err := k.gap(element)
				if err != nil {
					return err
				}
				out = append(out, f)
			}
		}
		return nil
	}
	return out, walk(k.spec.ProtoReflect().Descriptor(), "")
}

func suffix(fd protoreflect.FieldDescriptor) string {
	switch {
	case fd.IsMap():
		return "{}"
	case fd.IsList():
		return "[]"
	}
	return ""
}

func messageBelow(fd protoreflect.FieldDescriptor) protoreflect.MessageDescriptor {
	if fd.IsMap() {
		return fd.MapValue().Message()
	}
	return fd.Message()
}

// exampleKey is the key in maps of examples.
const exampleKey = "x"

// gap is what projection says of an object in which a field is set.
func (k Kind) gap(pattern string) (Field, error) {
	m := k.spec.ProtoReflect().New()
	fill(m, strings.Split(pattern, "."))
	text, err := m.Interface().(message).MarshalJSON()
	if err != nil {
		return Field{}, fmt.Errorf("write an example of %s %s: %w", k.Name, pattern, err)
	}
	problems, err := k.Check(&metav1.ObjectMeta{Namespace: "default", Name: "example"}, text)
	if err != nil {
		return Field{}, fmt.Errorf("read an example of %s %s: %w", k.Name, pattern, err)
	}
	where := string(spec) + "." + strings.NewReplacer("[]", "[0]", "{}", "["+exampleKey+"]").Replace(pattern)
	about := strings.TrimSuffix(strings.TrimSuffix(where, "[0]"), "["+exampleKey+"]")
	i := slices.IndexFunc(problems, func(p ir.Problem) bool {
		return p.Reason == ReasonNotServed && (p.Field == where || p.Field == about)
	})
	switch {
	case i < 0:
		return Field{}, fmt.Errorf("%s %s has no effect, and projection does not say so", k.Name, pattern)
	case problems[i].Severity == ir.Error:
		_, note, _ := strings.Cut(problems[i].Message, "; ")
		return Field{Path: pattern, Effect: Refused, Note: note}, nil
	}
	return Field{Path: pattern, Effect: Ignored}, nil
}

// fill sets the field at a path to something that is not empty.
func fill(m protoreflect.Message, steps []string) {
	name := strings.TrimSuffix(strings.TrimSuffix(steps[0], "[]"), "{}")
	fd := m.Descriptor().Fields().ByJSONName(name)
	switch rest := steps[1:]; {
	case fd.IsList():
		list := m.Mutable(fd).List()
		list.Append(example(fd, list.NewElement(), rest))
	case fd.IsMap():
		entries := m.Mutable(fd).Map()
		entries.Set(protoreflect.ValueOf(exampleKey).MapKey(), example(fd.MapValue(), entries.NewValue(), rest))
	default:
		m.Set(fd, example(fd, m.NewField(fd), rest))
	}
}

func example(fd protoreflect.FieldDescriptor, empty protoreflect.Value, rest []string) protoreflect.Value {
	switch fd.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		if len(rest) > 0 {
			fill(empty.Message(), rest)
		}
		return empty
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(fd.Enum().Values().Get(fd.Enum().Values().Len() - 1).Number())
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(exampleKey)
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte(exampleKey))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	}
	return exampleNumber(fd.Kind())
}

func exampleNumber(kind protoreflect.Kind) protoreflect.Value {
	switch kind {
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(1)
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(1)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(1)
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(1)
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(1)
	}
	return protoreflect.ValueOfInt32(1)
}
