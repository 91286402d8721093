// SPDX-License-Identifier: Apache-2.0

package route

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/meshwright/meshwright/internal/ir"
)

// edits is the headers to write and those to remove. Envoy applies those of a
// destination first, then those of the rule.
func edits(in []ir.HeaderEdit) (add []*corev3.HeaderValueOption, remove []string) {
	for _, e := range in {
		if e.Kind == ir.EditRemove {
			remove = append(remove, e.Name)
			continue
		}
		option := &corev3.HeaderValueOption{
			Header: &corev3.HeaderValue{Key: e.Name, Value: e.Value},
			// Users ask for an empty header by an empty text; Envoy would leave it out.
			KeepEmptyValue: e.Value == "",
		}
		if e.Kind == ir.EditSet {
			option.AppendAction = corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD
		}
		add = append(add, option)
	}
	return add, remove
}
