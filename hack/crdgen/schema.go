// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"slices"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/utils/ptr"
)

type props = apiextensionsv1.JSONSchemaProps

// durationPattern is what the JSON of these APIs takes for a duration: numbers
// with units, as Go writes them.
const durationPattern = `^[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h))*$`

// message is the structural schema of a message in the JSON mapping of protobuf
// (https://protobuf.dev/programming-guides/json/).
func message(md protoreflect.MessageDescriptor, within []protoreflect.FullName) (*props, error) {
	if s, ok := wellKnown(md.FullName()); ok {
		return s, nil
	}
	if slices.Contains(within, md.FullName()) {
		return nil, fmt.Errorf("%s contains itself, which a structural schema cannot say", md.FullName())
	}
	within = append(within, md.FullName())
	out := &props{Type: "object", Properties: map[string]props{}}
	fields := md.Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		s, err := field(fd, within)
		if err != nil {
			return nil, err
		}
		out.Properties[fd.JSONName()] = *s
		if required(fd) {
			out.Required = append(out.Required, fd.JSONName())
		}
	}
	slices.Sort(out.Required)
	oneofs := md.Oneofs()
	for i := range oneofs.Len() {
		if od := oneofs.Get(i); !od.IsSynthetic() {
			out.AllOf = append(out.AllOf, props{OneOf: atMostOne(od)})
		}
	}
	if len(out.AllOf) == 1 {
		out.OneOf, out.AllOf = out.AllOf[0].OneOf, nil
	}
	return out, nil
}

// atMostOne allows one of the members, or none.
func atMostOne(od protoreflect.OneofDescriptor) []props {
	var each []props
	for i := range od.Fields().Len() {
		each = append(each, props{Required: []string{od.Fields().Get(i).JSONName()}})
	}
	return append([]props{{Not: &props{AnyOf: each}}}, each...)
}

func required(fd protoreflect.FieldDescriptor) bool {
	behaviors, ok := proto.GetExtension(fd.Options(), annotations.E_FieldBehavior).([]annotations.FieldBehavior)
	return ok && slices.Contains(behaviors, annotations.FieldBehavior_REQUIRED)
}

func field(fd protoreflect.FieldDescriptor, within []protoreflect.FullName) (*props, error) {
	switch {
	case fd.IsMap():
		value, err := single(fd.MapValue(), within)
		if err != nil {
			return nil, err
		}
		return &props{Type: "object", AdditionalProperties: &apiextensionsv1.JSONSchemaPropsOrBool{Allows: true, Schema: value}}, nil
	case fd.IsList():
		item, err := single(fd, within)
		if err != nil {
			return nil, err
		}
		return &props{Type: "array", Items: &apiextensionsv1.JSONSchemaPropsOrArray{Schema: item}}, nil
	}
	return single(fd, within)
}

func single(fd protoreflect.FieldDescriptor, within []protoreflect.FullName) (*props, error) {
	switch fd.Kind() {
	case protoreflect.MessageKind:
		return message(fd.Message(), within)
	case protoreflect.EnumKind:
		return enum(fd.Enum()), nil
	}
	s, ok := scalar(fd.Kind())
	if !ok {
		return nil, fmt.Errorf("%s: no schema for %s", fd.FullName(), fd.Kind())
	}
	return s, nil
}

func enum(ed protoreflect.EnumDescriptor) *props {
	out := &props{Type: "string"}
	for i := range ed.Values().Len() {
		name := string(ed.Values().Get(i).Name())
		out.Enum = append(out.Enum, apiextensionsv1.JSON{Raw: fmt.Appendf(nil, "%q", name)})
	}
	return out
}

func scalar(k protoreflect.Kind) (*props, bool) {
	switch k {
	case protoreflect.BoolKind:
		return &props{Type: "boolean"}, true
	case protoreflect.StringKind:
		return &props{Type: "string"}, true
	case protoreflect.BytesKind:
		return &props{Type: "string", Format: "byte"}, true
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return &props{Type: "integer", Format: "int32"}, true
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return &props{Type: "integer", Minimum: ptr.To(0.0), Maximum: ptr.To(float64(math.MaxUint32))}, true
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind,
		protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		// The JSON mapping writes 64 bits as a string and reads a number too.
		return &props{XIntOrString: true, AnyOf: []props{{Type: "integer"}, {Type: "string"}}}, true
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return &props{Type: "number", Format: "double"}, true
	}
	return nil, false
}

// wellKnown is the messages with a JSON form of their own.
func wellKnown(name protoreflect.FullName) (*props, bool) {
	nullable := func(k protoreflect.Kind) (*props, bool) {
		s, ok := scalar(k)
		s.Nullable = true
		return s, ok
	}
	switch name {
	case "google.protobuf.Duration":
		return &props{Type: "string", Pattern: durationPattern, MaxLength: ptr.To(int64(64))}, true
	case "google.protobuf.Timestamp":
		return &props{Type: "string", Format: "date-time"}, true
	case "google.protobuf.BoolValue":
		return nullable(protoreflect.BoolKind)
	case "google.protobuf.StringValue":
		return nullable(protoreflect.StringKind)
	case "google.protobuf.BytesValue":
		return nullable(protoreflect.BytesKind)
	case "google.protobuf.Int32Value":
		return nullable(protoreflect.Int32Kind)
	case "google.protobuf.UInt32Value":
		return nullable(protoreflect.Uint32Kind)
	case "google.protobuf.Int64Value":
		return nullable(protoreflect.Int64Kind)
	case "google.protobuf.UInt64Value":
		return nullable(protoreflect.Uint64Kind)
	case "google.protobuf.FloatValue", "google.protobuf.DoubleValue":
		return nullable(protoreflect.DoubleKind)
	case "google.protobuf.Struct", "google.protobuf.Any":
		return &props{Type: "object", XPreserveUnknownFields: ptr.To(true)}, true
	case "google.protobuf.Value":
		return &props{XPreserveUnknownFields: ptr.To(true)}, true
	case "google.protobuf.ListValue":
		return &props{Type: "array", Items: &apiextensionsv1.JSONSchemaPropsOrArray{Schema: &props{XPreserveUnknownFields: ptr.To(true)}}}, true
	}
	return nil, false
}
