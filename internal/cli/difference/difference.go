// SPDX-License-Identifier: Apache-2.0

// Package difference says what differs between two specs or two sets of
// objects, field by field.
package difference

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Operation says what became of a field or an object.
type Operation string

// The operations.
const (
	Added   Operation = "added"
	Removed Operation = "removed"
	Changed Operation = "changed"
)

// Change is one field that differs.
type Change struct {
	Operation Operation `json:"operation"`
	// Path is the field, as in spec.gateways.ingress[istio-ingressgateway].replicas:
	// items of lists that have names are told by them, others by their index.
	Path string `json:"path"`
	// Before and After are the values; the one that is not there is nil.
	Before any `json:"before,omitempty"`
	After  any `json:"after,omitempty"`
}

// String writes the change as one line.
func (c Change) String() string {
	switch c.Operation {
	case Added:
		return "+ " + c.Path + ": " + text(c.After)
	case Removed:
		return "- " + c.Path + ": " + text(c.Before)
	case Changed:
	}
	return "~ " + c.Path + ": " + text(c.Before) + " -> " + text(c.After)
}

func text(value any) string {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(data)
}

// Fields returns what differs between two values as JSON has them, in the
// order of the paths. Items of a list that all have names of their own are
// compared by name, whatever their order.
func Fields(path string, before, after any) []Change {
	switch b := before.(type) {
	case map[string]any:
		if a, ok := after.(map[string]any); ok {
			return entries(b, a, func(key string) string { return join(path, key) })
		}
	case []any:
		if a, ok := after.([]any); ok {
			return lists(path, b, a)
		}
	}
	if reflect.DeepEqual(before, after) {
		return nil
	}
	return []Change{{Operation: Changed, Path: path, Before: before, After: after}}
}

// entries compares what has the same key; at is the path of one.
func entries(before, after map[string]any, at func(key string) string) []Change {
	keys := slices.Collect(maps.Keys(before))
	for key := range after {
		if _, ok := before[key]; !ok {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	var out []Change
	for _, key := range keys {
		b, had := before[key]
		a, has := after[key]
		out = append(out, one(at(key), b, a, had, has)...)
	}
	return out
}

func one(path string, before, after any, had, has bool) []Change {
	switch {
	case !had:
		return []Change{{Operation: Added, Path: path, After: after}}
	case !has:
		return []Change{{Operation: Removed, Path: path, Before: before}}
	}
	return Fields(path, before, after)
}

func lists(path string, before, after []any) []Change {
	b, okBefore := named(before)
	a, okAfter := named(after)
	if okBefore && okAfter {
		return entries(b, a, func(name string) string { return path + "[" + name + "]" })
	}
	var out []Change
	for i := range max(len(before), len(after)) {
		var was, is any
		if i < len(before) {
			was = before[i]
		}
		if i < len(after) {
			is = after[i]
		}
		out = append(out, one(path+"["+strconv.Itoa(i)+"]", was, is, i < len(before), i < len(after))...)
	}
	return out
}

// named returns the items of a list by their names, when all have one of their
// own. An empty list has no item without.
func named(list []any) (map[string]any, bool) {
	out := make(map[string]any, len(list))
	for _, item := range list {
		object, ok := item.(map[string]any)
		if !ok {
			return nil, false
		}
		name, ok := object["name"].(string)
		if _, twice := out[name]; !ok || name == "" || twice {
			return nil, false
		}
		out[name] = item
	}
	return out, true
}

// join adds a key to a path; a key with dots, as labels have, is quoted.
func join(path, key string) string {
	if strings.ContainsAny(key, ".[]") {
		return path + "[" + strconv.Quote(key) + "]"
	}
	if path == "" {
		return key
	}
	return path + "." + key
}
