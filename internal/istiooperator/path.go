// SPDX-License-Identifier: Apache-2.0

package istiooperator

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// step is one step of a path of Istio's overlays: a field, an item of a list
// by a field of it, by its index or by its value.
type step struct {
	name string
	// key and value select an item; index does when key is empty and byIndex.
	key, value string
	index      int
	byIndex    bool
}

var selector = regexp.MustCompile(`^\[(?:([^:\]]*):(.*)|(-?[0-9]+))\]$`)

// parsePath parses a.b.[key:value].c.[0].[-1]; a dot in a name is written \. and
// one between brackets separates nothing.
func parsePath(path string) ([]step, error) {
	var out []step
	var part strings.Builder
	depth := 0
	end := func() error {
		s := part.String()
		part.Reset()
		if s == "" {
			return nil
		}
		parsed, err := parseStep(s)
		out = append(out, parsed)
		return err
	}
	for i := 0; i < len(path); i++ {
		switch b := path[i]; {
		case b == '\\' && i+1 < len(path):
			i++
			part.WriteByte(path[i])
		case b == '.' && depth == 0:
			if err := end(); err != nil {
				return nil, err
			}
		case b == '[' && depth == 0:
			if err := end(); err != nil {
				return nil, err
			}
			depth++
			part.WriteByte(b)
		case b == '[':
			depth++
			part.WriteByte(b)
		case b == ']' && depth > 0:
			depth--
			part.WriteByte(b)
		default:
			part.WriteByte(b)
		}
	}
	if err := end(); err != nil {
		return nil, err
	}
	if len(out) == 0 || out[0].name == "" {
		return nil, errors.New("the path must begin with a field, for example spec.replicas")
	}
	return out, nil
}

func parseStep(s string) (step, error) {
	if !strings.HasPrefix(s, "[") {
		return step{name: s}, nil
	}
	found := selector.FindStringSubmatch(s)
	if found == nil {
		return step{}, fmt.Errorf("%s selects no item; write [KEY:VALUE] or [INDEX]", s)
	}
	if found[3] != "" {
		index, err := strconv.Atoi(found[3])
		return step{index: index, byIndex: true}, err
	}
	return step{key: found[1], value: found[2]}, nil
}
