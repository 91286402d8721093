// SPDX-License-Identifier: Apache-2.0

package ir

import (
	"slices"
	"strings"
)

// Label is one key and value.
type Label struct {
	Key   string
	Value string
}

// Labels is a set of labels sorted by key.
type Labels []Label

// NewLabels sorts a map into Labels.
func NewLabels(m map[string]string) Labels {
	if len(m) == 0 {
		return nil
	}
	ls := make(Labels, 0, len(m))
	for k, v := range m {
		ls = append(ls, Label{k, v})
	}
	slices.SortFunc(ls, func(a, b Label) int { return strings.Compare(a.Key, b.Key) })
	return ls
}

// Get returns the value of a key.
func (ls Labels) Get(key string) (string, bool) {
	i, ok := slices.BinarySearchFunc(ls, key, func(l Label, k string) int { return strings.Compare(l.Key, k) })
	if !ok {
		return "", false
	}
	return ls[i].Value, true
}

// Contains tells whether every label of the selector is in the set; an empty selector is in every set.
func (ls Labels) Contains(selector Labels) bool {
	i := 0
	for _, want := range selector {
		for i < len(ls) && ls[i].Key < want.Key {
			i++
		}
		if i == len(ls) || ls[i] != want {
			return false
		}
	}
	return true
}

// String is k=v,k=v in the order of the keys.
func (ls Labels) String() string {
	var b strings.Builder
	for i, l := range ls {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(l.Key)
		b.WriteByte('=')
		b.WriteString(l.Value)
	}
	return b.String()
}
