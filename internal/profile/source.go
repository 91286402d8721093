// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

// Describe returns what a profile is for: the comment at the top of its file.
// It fails with an UnknownError.
func Describe(name string) (string, error) {
	data, err := files.ReadFile(path.Join("profiles", name+".yaml"))
	if err != nil || name == base {
		return "", &UnknownError{Name: name}
	}
	var words []string
	for line := range strings.Lines(string(data)) {
		comment, ok := strings.CutPrefix(line, "#")
		if !ok {
			break
		}
		words = append(words, strings.TrimSpace(comment))
	}
	return strings.Join(words, " "), nil
}

// Over returns lower with upper over it, by the same rules by which a spec
// goes over its profile. Neither is changed.
func Over(lower, upper v1alpha1.MeshOperatorSpec) (v1alpha1.MeshOperatorSpec, error) {
	var out v1alpha1.MeshOperatorSpec
	under, err := toMap(lower)
	if err != nil {
		return out, err
	}
	over, err := toMap(upper)
	if err != nil {
		return out, err
	}
	data, err := json.Marshal(merge(under, over))
	if err != nil {
		return out, fmt.Errorf("merge specs: %w", err)
	}
	if err := json.Unmarshal(data, &out); err != nil {
		return out, fmt.Errorf("merge specs: %w", err)
	}
	return out, nil
}
