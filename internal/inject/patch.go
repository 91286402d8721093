// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"maps"
	"slices"
	"strings"
)

// Operation is one step of a JSON patch (RFC 6902).
type Operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// patch collects operations. They are written by hand rather than computed as a difference of two pods: a pod that has
// been through our version of the API types has lost the fields of newer versions, and a difference would remove them.
type patch struct {
	operations []Operation
}

func (p *patch) add(path string, value any) {
	p.operations = append(p.operations, Operation{Op: "add", Path: path, Value: value})
}

func (p *patch) replace(path string, value any) {
	p.operations = append(p.operations, Operation{Op: "replace", Path: path, Value: value})
}

func (p *patch) remove(path string) {
	p.operations = append(p.operations, Operation{Op: "remove", Path: path})
}

// entries sets keys of a map at path, which has the given content now. Keys that already have the value are left out.
func (p *patch) entries(path string, now, set map[string]string) {
	if now == nil {
		if len(set) > 0 {
			p.add(path, set)
		}
		return
	}
	for _, key := range slices.Sorted(maps.Keys(set)) {
		if old, ok := now[key]; !ok || old != set[key] {
			p.add(path+"/"+escape(key), set[key])
		}
	}
}

// escape writes a key as a reference token of a JSON pointer (RFC 6901 section 3).
func escape(key string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
}
