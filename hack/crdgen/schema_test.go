// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/structpb"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	apijson "k8s.io/apimachinery/pkg/util/json"
	apifield "k8s.io/apimachinery/pkg/util/validation/field"
)

// checker does with an object what an API server does before it stores it.
type checker struct {
	structural *structuralschema.Structural
	schema     validation.SchemaValidator
	rules      *cel.Validator
}

func newChecker(t *testing.T, k kind) checker {
	t.Helper()
	crd := internal(t, k)
	schema := crd.Spec.Validation
	if schema == nil { // versions differ in their names only
		schema = crd.Spec.Versions[0].Schema
	}
	structural, err := structuralschema.NewStructural(schema.OpenAPIV3Schema)
	if err != nil {
		t.Fatal(err)
	}
	validator, _, err := validation.NewSchemaValidator(schema.OpenAPIV3Schema)
	if err != nil {
		t.Fatal(err)
	}
	return checker{structural, validator, cel.NewValidator(structural, true, math.MaxInt64)}
}

func (c checker) pruned(object map[string]any) []string {
	return pruning.PruneWithOptions(object, c.structural, true, structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
}

func (c checker) shape(object map[string]any) apifield.ErrorList {
	return append(validation.ValidateCustomResource(nil, object, c.schema), listtype.ValidateListSetsAndMaps(nil, c.structural, object)...)
}

func (c checker) problems(object map[string]any) apifield.ErrorList {
	out := c.shape(object)
	broken, _ := c.rules.Validate(context.Background(), nil, c.structural, object, nil, math.MaxInt64)
	return append(out, broken...)
}

func TestSamplesAreAccepted(t *testing.T) {
	for _, k := range kinds() {
		c := newChecker(t, k)
		used := map[string]bool{}
		for _, s := range samples(t, "accepted", k) {
			t.Run(k.name+"/"+s.name, func(t *testing.T) {
				before, err := json.Marshal(s.object)
				if err != nil {
					t.Fatal(err)
				}
				if lost := c.pruned(s.object); len(lost) > 0 {
					t.Errorf("the schema does not know %v", lost)
				}
				for _, problem := range c.problems(s.object) {
					t.Error(problem)
				}
				after, err := json.Marshal(s.object)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(before), string(after)); diff != "" {
					t.Error(diff)
				}
				decodes(t, k, s.object["spec"])
			})
			if spec, ok := s.object["spec"].(map[string]any); ok {
				for name := range spec {
					used[name] = true
				}
			}
		}
		fields := k.spec.ProtoReflect().Descriptor().Fields()
		for i := range fields.Len() {
			if name := fields.Get(i).JSONName(); !used[name] {
				t.Errorf("no sample of %s has spec.%s", k.name, name)
			}
		}
	}
}

// decodes checks that the Go type reads what the schema lets in.
func decodes(t *testing.T, k kind, spec any) {
	t.Helper()
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	into := k.spec.ProtoReflect().New().Interface()
	if err := into.(json.Unmarshaler).UnmarshalJSON(text); err != nil {
		t.Errorf("the schema accepts what the Go type does not read: %v", err)
	}
}

func TestMistakesAreRefused(t *testing.T) {
	for _, k := range kinds() {
		c := newChecker(t, k)
		for _, s := range samples(t, "refused", k) {
			t.Run(k.name+"/"+s.name, func(t *testing.T) {
				if s.refused == "" {
					t.Fatal("the sample does not say which field is refused")
				}
				problems := c.problems(s.object)
				for _, p := range problems {
					// A problem of a format has its path in the text only.
					if p.Field == s.refused || strings.HasSuffix(p.Detail, " in "+s.refused) {
						return
					}
				}
				t.Errorf("no problem at %s, but %v", s.refused, problems)
			})
		}
	}
}

// TestSchemaTakesWhatTypesWrite sets every field of every message, each member
// of a oneof in turn, and checks that nothing of it is refused or lost.
func TestSchemaTakesWhatTypesWrite(t *testing.T) {
	for _, k := range kinds() {
		c := newChecker(t, k)
		for turn := range 6 {
			object := map[string]any{"apiVersion": "v", "kind": k.name, "metadata": map[string]any{"name": "full"}}
			parts := map[string]proto.Message{}
			for name, empty := range map[string]proto.Message{"spec": k.spec, "status": k.status} {
				m := empty.ProtoReflect().New()
				fill(m, turn)
				parts[name], object[name] = m.Interface(), tree(t, m.Interface())
			}
			if lost := c.pruned(object); len(lost) > 0 {
				t.Errorf("%s: the schema does not know %v", k.name, lost)
			}
			for _, p := range c.shape(object) {
				t.Errorf("%s: %v", k.name, p)
			}
			for name, want := range parts {
				got := want.ProtoReflect().New().Interface()
				text, err := json.Marshal(object[name])
				if err != nil {
					t.Fatal(err)
				}
				if err := got.(json.Unmarshaler).UnmarshalJSON(text); err != nil {
					t.Fatal(err)
				}
				if !proto.Equal(want, got) {
					t.Errorf("%s: wrote\n%v\nread\n%v", k.name, want, got)
				}
			}
		}
	}
}

// tree is the JSON of a message as its own type writes it.
func tree(t *testing.T, m proto.Message) map[string]any {
	t.Helper()
	text, err := m.(json.Marshaler).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := apijson.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func fill(m protoreflect.Message, turn int) {
	if s, ok := m.Interface().(*structpb.Struct); ok {
		s.Fields = map[string]*structpb.Value{"a": structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{structpb.NewStringValue("b")}})}
		return
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		if od := fd.ContainingOneof(); od != nil && !od.IsSynthetic() && od.Fields().Get(turn%od.Fields().Len()) != fd {
			continue
		}
		switch {
		case fd.IsMap():
			key := protoreflect.ValueOfString("key").MapKey()
			if fd.MapKey().Kind() == protoreflect.Uint32Kind {
				key = protoreflect.ValueOfUint32(8080).MapKey()
			}
			entries := m.Mutable(fd).Map()
			value := entries.NewValue()
			if fd.MapValue().Message() != nil {
				fill(value.Message(), turn)
			} else {
				value = scalarOf(fd.MapValue(), turn)
			}
			entries.Set(key, value)
		case fd.IsList():
			list := m.Mutable(fd).List()
			if fd.Message() != nil {
				fill(list.AppendMutable().Message(), turn)
			} else {
				list.Append(scalarOf(fd, turn))
			}
		case fd.Message() != nil:
			fill(m.Mutable(fd).Message(), turn)
		default:
			m.Set(fd, scalarOf(fd, turn))
		}
	}
}

func scalarOf(fd protoreflect.FieldDescriptor, turn int) protoreflect.Value {
	n := turn + 1
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte{byte(n)})
	case protoreflect.EnumKind:
		values := fd.Enum().Values()
		return protoreflect.ValueOfEnum(values.Get(n % values.Len()).Number())
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(int32(n))
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(uint32(n))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(int64(n))
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(uint64(n))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(float64(n) + 0.5)
	}
	return protoreflect.ValueOfString("text")
}
