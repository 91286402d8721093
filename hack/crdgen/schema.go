// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/utils/ptr"
)

type props = apiextensionsv1.JSONSchemaProps

// longestDuration bounds the text of a duration, and with it what its check costs.
const longestDuration = 64

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
			out.XValidations = append(out.XValidations, atMostOne(od))
		}
	}
	return out, nil
}

// atMostOne allows one of the members, or none. It is a rule rather than oneOf,
// because the message of oneOf names no member.
func atMostOne(od protoreflect.OneofDescriptor) apiextensionsv1.ValidationRule {
	var names []string
	for i := range od.Fields().Len() {
		names = append(names, od.Fields().Get(i).JSONName())
	}
	return apiextensionsv1.ValidationRule{
		Rule:    alone(names, "true"),
		Message: "only one of " + strings.Join(names, ", ") + " may be set",
	}
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
	if port(fd) {
		s.Maximum = ptr.To(65535.0)
		if required(fd) {
			s.Minimum = ptr.To(1.0)
		}
	}
	return s, nil
}

// port tells whether a field is a port's number; 0 stands for none where the field
// is not required.
func port(fd protoreflect.FieldDescriptor) bool {
	return fd.Kind() == protoreflect.Uint32Kind &&
		slices.Contains([]protoreflect.Name{"number", "port", "target_port"}, fd.Name())
}

// duration is what the JSON mapping of these APIs takes: numbers with units, as Go
// writes them. A duration too large for its type stops the rule, which refuses it.
func duration() *props {
	return &props{
		Type: "string", MaxLength: ptr.To(int64(longestDuration)),
		XValidations: apiextensionsv1.ValidationRules{{
			Rule:    "duration(self) >= duration('0s')",
			Message: "must be a duration such as 250ms, 1.5s or 2m, and not negative",
		}},
	}
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
		out := &props{XIntOrString: true, AnyOf: []props{{Type: "integer"}, {Type: "string"}}, Pattern: `^-?[0-9]{1,20}$`}
		if k == protoreflect.Uint64Kind || k == protoreflect.Fixed64Kind {
			out.Minimum, out.Pattern = ptr.To(0.0), `^[0-9]{1,20}$`
		}
		return out, true
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
		return duration(), true
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
