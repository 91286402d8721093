// SPDX-License-Identifier: Apache-2.0

package graph

import "reflect"

// equality returns how two values of a table are compared: by a method
// Equal(V) bool if there is one (on V or *V), by == if that compares contents,
// and by reflect.DeepEqual otherwise. == on a type that holds a pointer compares
// addresses and would call every rebuilt value different, so such types go to
// reflect.DeepEqual, which is quick for pointers that are the same.
func equality[V any]() func(a, b *V) bool {
	var zero V
	if _, ok := any(&zero).(interface{ Equal(V) bool }); ok {
		return func(a, b *V) bool { return any(a).(interface{ Equal(V) bool }).Equal(*b) }
	}
	if _, ok := any(&zero).(interface{ Equal(*V) bool }); ok {
		return func(a, b *V) bool { return any(a).(interface{ Equal(*V) bool }).Equal(b) }
	}
	t := reflect.TypeFor[V]()
	if _, ok := any(zero).(interface{ Equal(V) bool }); ok { // V is itself a pointer
		if t.Kind() == reflect.Pointer {
			return pointerEqual[V]
		}
		return func(a, b *V) bool { return any(*a).(interface{ Equal(V) bool }).Equal(*b) }
	}
	if flat(t) {
		return func(a, b *V) bool { return any(*a) == any(*b) }
	}
	return func(a, b *V) bool { return reflect.DeepEqual(*a, *b) }
}

// pointerEqual spares Equal methods of pointers the cases with nil and the case
// that both are the same.
func pointerEqual[V any](a, b *V) bool {
	x, y := any(*a), any(*b)
	if x == y {
		return true
	}
	var none V
	if x == any(none) || y == any(none) {
		return false
	}
	return x.(interface{ Equal(V) bool }).Equal(*b)
}

// flat reports whether == compares all of a value's contents.
func flat(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Array:
		return flat(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if !flat(t.Field(i).Type) {
				return false
			}
		}
		return true
	case reflect.Pointer, reflect.Interface, reflect.Chan, reflect.Func,
		reflect.Map, reflect.Slice, reflect.UnsafePointer:
		return false
	default:
		return true
	}
}
