// SPDX-License-Identifier: Apache-2.0

package ir

import "testing"

func TestCovers(t *testing.T) {
	prefix := func(s string) Match { return Match{Path: &StringMatch{MatchPrefix, s}} }
	exact := func(s string) Match { return Match{Path: &StringMatch{MatchExact, s}} }
	regex := func(s string) Match { return Match{Path: &StringMatch{MatchRegex, s}} }
	anyCase := func(m Match) Match { m.PathIgnoreCase = true; return m }
	header := func(m Match, h ...HeaderMatch) Match { m.Headers = h; return m }
	present := HeaderMatch{Name: "x", Match: StringMatch{Kind: MatchPresent}}
	absent := HeaderMatch{Name: "x", Match: StringMatch{Kind: MatchPresent}, Invert: true}
	one := HeaderMatch{Name: "x", Match: StringMatch{MatchExact, "1"}}
	gateway := func(mesh bool, names ...string) Match {
		m := Match{Place: Place{GatewaysSet: true, Mesh: mesh}}
		for _, n := range names {
			m.Gateways = append(m.Gateways, ConfigKey{Name: n})
		}
		return m
	}
	for _, c := range []struct {
		name     string
		all, one Match
		want     bool
	}{
		{"nothing said", Match{}, prefix("/a"), true},
		{"something said", prefix("/a"), Match{}, false},
		{"root", prefix("/"), regex("/a.*"), true},
		{"longer prefix", prefix("/a"), prefix("/ab"), true},
		{"shorter prefix", prefix("/ab"), prefix("/a"), false},
		{"path under a prefix", prefix("/a"), exact("/a/b"), true},
		{"prefix under a path", exact("/a"), prefix("/a"), false},
		{"same expression", regex("/a+"), regex("/a+"), true},
		{"another expression", regex("/a+"), exact("/a"), false},
		{"any case", anyCase(prefix("/A")), exact("/ab"), true},
		{"only one case", prefix("/a"), anyCase(exact("/ab")), false},
		{"fewer headers", prefix("/a"), header(prefix("/a"), one), true},
		{"more headers", header(prefix("/a"), one), prefix("/a"), false},
		{"header with any value", header(Match{}, present), header(Match{}, one), true},
		{"header that is not there", header(Match{}, present), header(Match{}, absent), false},
		{"the same gateways", gateway(true, "a"), gateway(true, "a"), true},
		{"fewer gateways", gateway(true, "a", "b"), gateway(false, "a"), true},
		{"sidecars, too", gateway(false, "a"), gateway(true, "a"), false},
		{"everywhere", gateway(true, "a"), Match{}, false},
		{"another port", Match{Place: Place{Port: 1}}, Match{Place: Place{Port: 2}}, false},
		{"a port", Match{}, Match{Place: Place{Port: 2}}, true},
		{"labels", Match{Place: Place{Labels: NewLabels(map[string]string{"a": "b"})}}, Match{}, false},
	} {
		if got := Covers([]Match{c.all}, &c.one); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	if !Covers(nil, &Match{}) {
		t.Error("a rule without a match takes everything")
	}
}
