// SPDX-License-Identifier: Apache-2.0

package ir

import (
	"cmp"
	"slices"
	"strings"
)

// Narrow is the requests that fulfil both matches, where the inner one asks for a part
// of what the outer one takes. ok is false when it asks for others, or when nobody can
// tell, as expressions are compared as texts; field is then the field in which it does.
func Narrow(outer, inner *Match) (out Match, field string, ok bool) {
	out = *inner
	switch {
	case inner.Path == nil:
		out.Path, out.PathIgnoreCase = outer.Path, outer.PathIgnoreCase
	case !outer.coversPath(inner):
		return Match{}, "uri", false
	}
	if out.Headers, field, ok = narrowHeaders(outer.Headers, inner.Headers); !ok {
		return Match{}, field, false
	}
	if out.Query, field, ok = narrowQuery(outer.Query, inner.Query); !ok {
		return Match{}, field, false
	}
	if out.Place, field, ok = narrowPlace(&outer.Place, &inner.Place); !ok {
		return Match{}, field, false
	}
	out.StatPrefix = cmp.Or(inner.StatPrefix, outer.StatPrefix)
	return out, "", true
}

func narrowHeaders(outer, inner []HeaderMatch) (out []HeaderMatch, field string, ok bool) {
	out = slices.Clone(inner)
	for _, o := range outer {
		said := false
		for _, i := range inner {
			if o.Name != i.Name || o.Invert || i.Invert {
				said = said || o == i
				continue
			}
			if !o.Match.covers(i.Match) {
				return nil, headerField(o.Name), false
			}
			said = true
		}
		if !said {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, HeaderMatch.Compare)
	return out, "", true
}

// headerField is the field of a match that asks for a header.
func headerField(name string) string {
	if pseudo, ok := strings.CutPrefix(name, ":"); ok {
		return pseudo
	}
	return "headers[" + name + "]"
}

func narrowQuery(outer, inner []QueryMatch) (out []QueryMatch, field string, ok bool) {
	out = slices.Clone(inner)
	for _, o := range outer {
		i := slices.IndexFunc(inner, func(q QueryMatch) bool { return q.Name == o.Name })
		switch {
		case i < 0:
			out = append(out, o)
		case !o.Match.covers(inner[i].Match):
			return nil, "queryParams[" + o.Name + "]", false
		}
	}
	slices.SortFunc(out, func(a, b QueryMatch) int { return strings.Compare(a.Name, b.Name) })
	return out, "", true
}

func narrowPlace(outer, inner *Place) (out Place, field string, ok bool) {
	out = *inner
	if out.Port = cmp.Or(inner.Port, outer.Port); outer.Port != 0 && out.Port != outer.Port {
		return Place{}, "port", false
	}
	if out.Namespace = cmp.Or(inner.Namespace, outer.Namespace); outer.Namespace != "" && out.Namespace != outer.Namespace {
		return Place{}, "sourceNamespace", false
	}
	for _, l := range outer.Labels {
		if v, has := inner.Labels.Get(l.Key); has && v != l.Value {
			return Place{}, "sourceLabels", false
		}
	}
	out.Labels = slices.Clone(inner.Labels)
	for _, l := range outer.Labels {
		if _, has := inner.Labels.Get(l.Key); !has {
			out.Labels = append(out.Labels, l)
		}
	}
	slices.SortFunc(out.Labels, func(a, b Label) int { return strings.Compare(a.Key, b.Key) })
	switch {
	case !outer.GatewaysSet:
	case !inner.GatewaysSet:
		out.GatewaysSet, out.Mesh, out.Gateways = true, outer.Mesh, outer.Gateways
	case inner.Mesh && !outer.Mesh, slices.ContainsFunc(inner.Gateways, func(k ConfigKey) bool { return !slices.Contains(outer.Gateways, k) }):
		return Place{}, "gateways", false
	}
	return out, "", true
}

// covers tells whether every text that another comparison takes is taken by this one.
func (m StringMatch) covers(o StringMatch) bool {
	switch {
	case m == o, m.Kind == MatchPresent:
		return true
	case m.Kind != MatchPrefix, o.Kind != MatchPrefix && o.Kind != MatchExact:
		return false
	}
	return strings.HasPrefix(o.Value, m.Value)
}
