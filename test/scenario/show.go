// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"
)

// Show reads LAYER TYPE NAME [PATH] and answers with that part of the resource, as
// JSON in one line. The path is made of field names, list indices and "*" for
// each element of a list, with dots between them.
func (w *World) Show(line string) (string, error) {
	words := strings.Fields(line)
	if len(words) != 3 && len(words) != 4 {
		return "", fmt.Errorf("show %q is not LAYER TYPE NAME [PATH]", line)
	}
	if words[1] == "Secret" {
		return "", fmt.Errorf("show %q: secrets are not shown", line)
	}
	for at, r := range w.sent {
		if at.String() != strings.Join(words[:3], " ") {
			continue
		}
		text, err := protojson.Marshal(&anypb.Any{TypeUrl: r.Type, Value: r.Body})
		if err != nil {
			return "", err
		}
		var tree any
		if err := json.Unmarshal(text, &tree); err != nil {
			return "", err
		}
		if len(words) == 4 {
			tree = part(tree, strings.Split(words[3], "."))
		}
		out, err := json.Marshal(tree)
		return string(out), err
	}
	return "absent", nil
}

func part(tree any, path []string) any {
	if len(path) == 0 {
		return tree
	}
	switch v := tree.(type) {
	case map[string]any:
		return part(v[path[0]], path[1:])
	case []any:
		if path[0] == "*" {
			out := make([]any, len(v))
			for i := range v {
				out[i] = part(v[i], path[1:])
			}
			return out
		}
		if i, err := strconv.Atoi(path[0]); err == nil && i < len(v) {
			return part(v[i], path[1:])
		}
	}
	return nil
}
