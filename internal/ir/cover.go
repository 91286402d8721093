// SPDX-License-Identifier: Apache-2.0

package ir

import (
	"slices"
	"strings"
)

// Covers tells whether a rule with these matches takes every request that fulfils
// another, so that the other has no effect in a rule behind it. False may also mean
// that nobody can tell: expressions are compared as texts.
func Covers(matches []Match, o *Match) bool {
	if len(matches) == 0 {
		return true
	}
	for i := range matches {
		if matches[i].covers(o) {
			return true
		}
	}
	return false
}

func (m *Match) covers(o *Match) bool {
	return m.Place.covers(&o.Place) && m.coversPath(o) && coversHeaders(m.Headers, o.Headers) && coversQuery(m.Query, o.Query)
}

func (p *Place) covers(o *Place) bool {
	if p.Port != 0 && p.Port != o.Port || p.Namespace != "" && p.Namespace != o.Namespace || !o.Labels.Contains(p.Labels) {
		return false
	}
	if !p.GatewaysSet {
		return true
	}
	if !o.GatewaysSet || o.Mesh && !p.Mesh {
		return false
	}
	return !slices.ContainsFunc(o.Gateways, func(k ConfigKey) bool { return !slices.Contains(p.Gateways, k) })
}

func (m *Match) coversPath(o *Match) bool {
	if m.Path == nil || *m.Path == (StringMatch{MatchPrefix, "/"}) || *m.Path == (StringMatch{MatchRegex, ".*"}) {
		return true
	}
	if o.Path == nil {
		return false
	}
	a, b := *m.Path, *o.Path
	switch {
	case a.Kind == MatchRegex || b.Kind == MatchRegex:
		return a == b
	case m.PathIgnoreCase:
		a.Value, b.Value = strings.ToLower(a.Value), strings.ToLower(b.Value)
	case o.PathIgnoreCase:
		return false
	}
	if a.Kind == MatchPrefix {
		return strings.HasPrefix(b.Value, a.Value)
	}
	return a == b
}

// coversHeaders: each header that the first wants, the second wants in the same way,
// or more of it.
func coversHeaders(all, more []HeaderMatch) bool {
	for _, a := range all {
		if !slices.ContainsFunc(more, func(b HeaderMatch) bool {
			present := a.Match.Kind == MatchPresent && !a.Invert && !b.Invert
			return a == b || a.Name == b.Name && present
		}) {
			return false
		}
	}
	return true
}

func coversQuery(all, more []QueryMatch) bool {
	for _, a := range all {
		if !slices.ContainsFunc(more, func(b QueryMatch) bool {
			return a == b || a.Name == b.Name && a.Match.Kind == MatchPresent
		}) {
			return false
		}
	}
	return true
}
