// SPDX-License-Identifier: Apache-2.0

package difference

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Object is one object that differs.
type Object struct {
	Operation Operation `json:"operation"`
	// Kind, Namespace and Name are the object's.
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// Fields are what differs when both are there.
	Fields []Change `json:"fields,omitempty"`
}

// Objects returns the objects that differ, those of before first.
func Objects(before, after []*unstructured.Unstructured) []Object {
	var out []Object
	later := map[string]*unstructured.Unstructured{}
	for _, object := range after {
		later[key(object)] = object
	}
	earlier := map[string]bool{}
	for _, object := range before {
		earlier[key(object)] = true
		other, ok := later[key(object)]
		if !ok {
			out = append(out, of(Removed, object, nil))
			continue
		}
		if fields := Fields("", object.Object, other.Object); len(fields) > 0 {
			out = append(out, of(Changed, object, fields))
		}
	}
	for _, object := range after {
		if !earlier[key(object)] {
			out = append(out, of(Added, object, nil))
		}
	}
	return out
}

func of(operation Operation, object *unstructured.Unstructured, fields []Change) Object {
	return Object{Operation: operation, Kind: object.GetKind(), Namespace: object.GetNamespace(), Name: object.GetName(), Fields: fields}
}

// key names an object; its version may differ.
func key(object *unstructured.Unstructured) string {
	kind := object.GroupVersionKind().GroupKind()
	return kind.String() + "|" + object.GetNamespace() + "|" + object.GetName()
}

// server are the fields that an API server and controllers write by themselves.
var server = []string{"ownerReferences", "managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink"}

// Own returns a copy of a live object without what only the API server and
// controllers write, so that it can be compared.
func Own(object *unstructured.Unstructured) *unstructured.Unstructured {
	out := object.DeepCopy()
	delete(out.Object, "status")
	if metadata, ok := out.Object["metadata"].(map[string]any); ok {
		maps.DeleteFunc(metadata, func(field string, _ any) bool { return slices.Contains(server, field) })
	}
	return out
}

var marks = map[Operation]string{Added: "+", Removed: "-", Changed: "~"}

// Write writes objects with their fields, a line each.
func Write(w io.Writer, objects []Object) {
	for _, o := range objects {
		fmt.Fprintf(w, "%s %s %s\n", marks[o.Operation], o.Kind, strings.TrimPrefix(o.Namespace+"/"+o.Name, "/"))
		for _, field := range o.Fields {
			fmt.Fprintf(w, "    %s\n", field)
		}
	}
}
