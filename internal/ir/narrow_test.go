// SPDX-License-Identifier: Apache-2.0

package ir

import (
	"reflect"
	"testing"
)

func TestNarrow(t *testing.T) {
	path := func(kind StringKind, value string) *StringMatch { return &StringMatch{kind, value} }
	header := func(name string, kind StringKind, value string) []HeaderMatch {
		return []HeaderMatch{{Name: name, Match: StringMatch{kind, value}}}
	}
	without := func(name, value string) []HeaderMatch {
		return []HeaderMatch{{Name: name, Match: StringMatch{MatchExact, value}, Invert: true}}
	}
	query := func(name string, kind StringKind, value string) []QueryMatch {
		return []QueryMatch{{name, StringMatch{kind, value}}}
	}
	a, b := ConfigKey{"x", "a"}, ConfigKey{"x", "b"}
	for _, c := range []struct {
		name         string
		outer, inner Match
		want         Match
		field        string // of the conflict
	}{
		{name: "nothing of either"},
		{"a path of the outer only", Match{Path: path(MatchPrefix, "/a"), PathIgnoreCase: true}, Match{}, Match{Path: path(MatchPrefix, "/a"), PathIgnoreCase: true}, ""},
		{"a longer prefix", Match{Path: path(MatchPrefix, "/a")}, Match{Path: path(MatchPrefix, "/a/b")}, Match{Path: path(MatchPrefix, "/a/b")}, ""},
		{"an exact path", Match{Path: path(MatchPrefix, "/a")}, Match{Path: path(MatchExact, "/ab")}, Match{Path: path(MatchExact, "/ab")}, ""},
		{"a shorter prefix", Match{Path: path(MatchPrefix, "/a/b")}, Match{Path: path(MatchPrefix, "/a")}, Match{}, "uri"},
		{"a prefix of an exact path", Match{Path: path(MatchExact, "/a")}, Match{Path: path(MatchPrefix, "/a")}, Match{}, "uri"},
		{"any case of what the outer takes in one", Match{Path: path(MatchPrefix, "/a")}, Match{Path: path(MatchPrefix, "/a"), PathIgnoreCase: true}, Match{}, "uri"},
		{"an expression", Match{Path: path(MatchPrefix, "/a")}, Match{Path: path(MatchRegex, "/a.*")}, Match{}, "uri"},
		{
			"headers of both",
			Match{Headers: header("x", MatchExact, "1")},
			Match{Headers: header("a", MatchPresent, "")},
			Match{Headers: append(header("a", MatchPresent, ""), header("x", MatchExact, "1")...)},
			"",
		},
		{"a value of a header", Match{Headers: header("x", MatchPrefix, "a")}, Match{Headers: header("x", MatchExact, "ab")}, Match{Headers: header("x", MatchExact, "ab")}, ""},
		{"another value of a header", Match{Headers: header("x", MatchExact, "a")}, Match{Headers: header("x", MatchExact, "b")}, Match{}, "headers[x]"},
		{"another method", Match{Headers: header(":method", MatchExact, "GET")}, Match{Headers: header(":method", MatchExact, "PUT")}, Match{}, "method"},
		{
			"without both values",
			Match{Headers: without("x", "1")},
			Match{Headers: without("x", "2")},
			Match{Headers: append(without("x", "1"), without("x", "2")...)},
			"",
		},
		{"a parameter of the outer", Match{Query: query("q", MatchExact, "1")}, Match{}, Match{Query: query("q", MatchExact, "1")}, ""},
		{"any value of a parameter", Match{Query: query("q", MatchExact, "1")}, Match{Query: query("q", MatchPresent, "")}, Match{}, "queryParams[q]"},
		{"another port", Match{Place: Place{Port: 80}}, Match{Place: Place{Port: 81}}, Match{}, "port"},
		{"another namespace", Match{Place: Place{Namespace: "a"}}, Match{Place: Place{Namespace: "b"}}, Match{}, "sourceNamespace"},
		{
			"labels of both",
			Match{Place: Place{Labels: Labels{{"x", "1"}}}},
			Match{Place: Place{Labels: Labels{{"a", "1"}}}},
			Match{Place: Place{Labels: Labels{{"a", "1"}, {"x", "1"}}}},
			"",
		},
		{"another value of a label", Match{Place: Place{Labels: Labels{{"x", "1"}}}}, Match{Place: Place{Labels: Labels{{"x", "2"}}}}, Match{}, "sourceLabels"},
		{
			"one of its gateways",
			Match{Place: Place{GatewaysSet: true, Mesh: true, Gateways: []ConfigKey{a, b}}},
			Match{Place: Place{GatewaysSet: true, Gateways: []ConfigKey{b}}},
			Match{Place: Place{GatewaysSet: true, Gateways: []ConfigKey{b}}},
			"",
		},
		{"sidecars too", Match{Place: Place{GatewaysSet: true, Gateways: []ConfigKey{a}}}, Match{Place: Place{GatewaysSet: true, Mesh: true}}, Match{}, "gateways"},
		{"its gateways", Match{Place: Place{GatewaysSet: true, Gateways: []ConfigKey{a}}}, Match{}, Match{Place: Place{GatewaysSet: true, Gateways: []ConfigKey{a}}}, ""},
		{"counted", Match{StatPrefix: "outer"}, Match{}, Match{StatPrefix: "outer"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, field, ok := Narrow(&c.outer, &c.inner)
			if ok != (c.field == "") || field != c.field {
				t.Fatalf("conflict in %q, want %q", field, c.field)
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}
