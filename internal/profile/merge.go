// SPDX-License-Identifier: Apache-2.0

package profile

import "maps"

// merge returns lower with upper over it. Objects merge field by field,
// gateways by their names, everything else is replaced. Neither is changed.
func merge(lower, upper map[string]any) map[string]any {
	out := maps.Clone(lower)
	if out == nil {
		out = map[string]any{}
	}
	// Whoever sets the one leaves the other: they exclude each other.
	for _, pair := range [][2]string{{"replicas", "autoscaling"}, {"minAvailable", "maxUnavailable"}} {
		for i, key := range pair {
			if _, ok := upper[key]; ok {
				delete(out, pair[1-i])
			}
		}
	}
	for key, value := range upper {
		switch value := value.(type) {
		case map[string]any:
			under, _ := out[key].(map[string]any)
			out[key] = merge(under, value)
		case []any:
			under, _ := out[key].([]any)
			if key == "ingress" || key == "egress" || key == "eastWest" {
				out[key] = mergeNamed(under, value)
				continue
			}
			out[key] = value
		default:
			out[key] = value
		}
	}
	return out
}

// mergeNamed merges two lists of objects by their names, those of lower first.
func mergeNamed(lower, upper []any) []any {
	out := make([]any, 0, len(lower)+len(upper))
	at := map[any]int{}
	for _, list := range [][]any{lower, upper} {
		for _, item := range list {
			object, _ := item.(map[string]any)
			if i, ok := at[object["name"]]; ok {
				under, _ := out[i].(map[string]any)
				out[i] = merge(under, object)
				continue
			}
			at[object["name"]] = len(out)
			out = append(out, merge(nil, object))
		}
	}
	return out
}
