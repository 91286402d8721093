// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/utils/ptr"
)

// rule is a check that needs no webhook. Its path is below the spec, such as
// http[].route[].weight; "" is the spec. A rule about a field that may be absent
// stands at the field's parent and names the field, so that the error does too.
type rule struct{ path, cel, message, field string }

func (r rule) add(s *props) error {
	out := apiextensionsv1.ValidationRule{Rule: r.cel, Message: r.message}
	if r.field != "" {
		if _, ok := s.Properties[r.field]; !ok {
			return fmt.Errorf("there is no field %q", r.field)
		}
		out.FieldPath = "." + r.field
	}
	s.XValidations = append(s.XValidations, out)
	return nil
}

// alone is the rule that at most one of some fields is set; last is what must hold
// when none but the last may be. A chain of choices costs an API server half of
// what counting does, and it counts the cost of all rules of a kind together.
func alone(names []string, last string) string {
	if len(names) == 1 {
		return last
	}
	var rest []string
	for _, name := range names[1:] {
		rest = append(rest, fmt.Sprintf("has(self.%s)", name))
	}
	return fmt.Sprintf("has(self.%s) ? !(%s) : %s", names[0], strings.Join(rest, " || "), alone(names[1:], last))
}

// limits are the smallest and the largest number, length or count of items of a
// field; nothing is a limit that is not there. They cost nothing, but for the
// rules below a list, which cost less when the list is short.
type limits struct {
	path     string
	min, max *int64
}

// atLeast is a lower limit.
func atLeast(n int64, paths ...string) []limits {
	var out []limits
	for _, path := range paths {
		out = append(out, limits{path: path, min: &n})
	}
	return out
}

func (l limits) add(s *props) error {
	switch s.Type {
	case "string":
		s.MinLength, s.MaxLength = l.min, l.max
	case "array":
		s.MinItems, s.MaxItems = l.min, l.max
	case "integer":
		if l.min != nil {
			s.Minimum = ptr.To(float64(*l.min))
		}
		if l.max != nil {
			s.Maximum = ptr.To(float64(*l.max))
		}
	default:
		return fmt.Errorf("a field of type %q has no limits", s.Type)
	}
	return nil
}

// unique makes a list one without two items of the same key, which the API server
// checks without a rule's cost, and merges by that key in server-side apply.
type unique struct{ path, key string }

func (u unique) add(s *props) error {
	if s.Type != "array" {
		return fmt.Errorf("it is of type %q, not a list", s.Type)
	}
	s.XListType, s.XListMapKeys = ptr.To("map"), []string{u.key}
	return nil
}

// alias is a second name of a field: the one that the protobuf file uses, which
// the JSON mapping reads too and users have written for years.
type alias struct{ path, field, name string }

func (a alias) add(s *props) error {
	p, ok := s.Properties[a.field]
	if !ok {
		return fmt.Errorf("there is no field %q", a.field)
	}
	s.Properties[a.name] = *p.DeepCopy()
	s.XValidations = append(s.XValidations, apiextensionsv1.ValidationRule{
		Rule:      fmt.Sprintf("!has(self.%s) || !has(self.%s)", a.field, a.name),
		Message:   fmt.Sprintf("%s and %s are the same field; set only one", a.field, a.name),
		FieldPath: "." + a.name,
	})
	return nil
}

// amend adds to the schema of the spec what the kind says beyond its message.
// Aliases come last, so that they are like the fields that they stand for.
func (k kind) amend(spec *props) error {
	for _, l := range k.limits {
		if err := amend(spec, l.path, l.add); err != nil {
			return err
		}
	}
	for _, u := range k.unique {
		if err := amend(spec, u.path, u.add); err != nil {
			return err
		}
	}
	for _, r := range k.rules {
		if err := amend(spec, r.path, r.add); err != nil {
			return err
		}
	}
	for _, a := range k.aliases {
		if err := amend(spec, a.path, a.add); err != nil {
			return err
		}
	}
	return nil
}

// amend changes what is at a path; a trailing [] means the items of a list, no
// trailing [] the list itself.
func amend(s *props, path string, change func(*props) error) error {
	if path == "" {
		return change(s)
	}
	step, rest, _ := strings.Cut(path, ".")
	name, items := strings.CutSuffix(step, "[]")
	p, ok := s.Properties[name]
	if !ok {
		return fmt.Errorf("there is no field %q", name)
	}
	at := &p
	if items {
		if p.Items == nil {
			return fmt.Errorf("%s is not a list", name)
		}
		at = p.Items.Schema
	}
	if err := amend(at, rest, change); err != nil {
		return fmt.Errorf("%s: %w", step, err)
	}
	s.Properties[name] = p
	return nil
}
