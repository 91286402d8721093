// SPDX-License-Identifier: Apache-2.0

// Package page writes what becomes of each field of each kind into a page.
package page

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/meshwright/meshwright/internal/projection"
)

// Path of the page.
const Path = "docs/traffic.md"

const mark = "<!-- Everything below this line is written by hack/fields: run make generate. -->\n"

// Current is the page with what becomes of the fields now, behind its own prose.
func Current(old []byte) ([]byte, error) {
	prose, _, ok := bytes.Cut(old, []byte(mark))
	if !ok {
		return nil, fmt.Errorf("%s has no line %q", Path, strings.TrimSpace(mark))
	}
	var out bytes.Buffer
	out.Write(prose)
	out.WriteString(mark)
	for _, k := range (projection.Scope{Domain: "cluster.local"}).Kinds() {
		if err := table(&out, k); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

func table(out *bytes.Buffer, k projection.Kind) error {
	fields, err := k.Fields()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\n### %s (`%s`)\n\n| field | effect |\n|---|---|\n", k.Name, k.Group)
	effects := map[string]string{}
	for _, f := range fields {
		effects[f.Path] = effect(f)
	}
	done := map[level]bool{}
	for _, f := range fields {
		at, repeats := levelOf(f.Path)
		if repeats && !done[at] {
			done[at] = true
			fmt.Fprintf(out, "| `%s` | as `%s`, but for what follows here |\n", at.here, at.as)
		}
		if repeats && effects[at.as+strings.TrimPrefix(f.Path, at.here)] == effects[f.Path] {
			continue
		}
		fmt.Fprintf(out, "| `%s` | %s |\n", f.Path, effects[f.Path])
	}
	return nil
}

// level is a place in a kind that has the fields of another place.
type level struct{ here, as string }

// levels is such places, the longer paths first.
var levels = []level{
	{"subsets[].trafficPolicy.portLevelSettings[]", "trafficPolicy.portLevelSettings[]"},
	{"subsets[].trafficPolicy", "trafficPolicy"},
	{"trafficPolicy.portLevelSettings[]", "trafficPolicy"},
}

func levelOf(field string) (level, bool) {
	for _, l := range levels {
		if strings.HasPrefix(field, l.here+".") {
			return l, true
		}
	}
	return level{}, false
}

func effect(f projection.Field) string {
	switch f.Effect {
	case projection.Ignored:
		return "ignored with a warning"
	case projection.Refused:
		return "refused: " + f.Note
	case projection.Served:
	}
	return string(f.Effect)
}
