// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/meshwright/meshwright/internal/ir"
)

// ignoredHeaders is keys of headers that the API says are ignored, because they
// have fields of their own.
var ignoredHeaders = map[string]bool{"uri": true, "scheme": true, "method": true, "authority": true}

// match projects one alternative of a rule. ok is false when it has an error: a
// match that is only half understood would take requests that it was not meant for.
func (v *virtualService) match(at path, in *networking.HTTPMatchRequest) (out ir.Match, ok bool) {
	if in == nil {
		return ir.Match{}, true
	}
	before := v.notes.errors()
	if in.Uri != nil {
		m := v.text(at.field("uri"), in.Uri)
		out.Path = &m
		out.PathIgnoreCase = in.IgnoreUriCase && m.Kind != ir.MatchRegex
		if m.Kind == ir.MatchPresent {
			out.Path = nil
		}
		if (m.Kind == ir.MatchExact || m.Kind == ir.MatchPrefix) && !isPath(m.Value) {
			v.notes.warn(ReasonUnreachable, at.field("uri"), "no request has such a path: paths begin with a slash, and what is not ASCII is escaped in them with %%")
		}
	}
	for _, pseudo := range []struct {
		name, header string
		value        *networking.StringMatch
	}{{"scheme", ":scheme", in.Scheme}, {"method", ":method", in.Method}, {"authority", ":authority", in.Authority}} {
		if pseudo.value != nil {
			m := v.text(at.field(pseudo.name), pseudo.value)
			out.Headers = append(out.Headers, ir.HeaderMatch{Name: pseudo.header, Match: m})
		}
	}
	out.Headers = append(out.Headers, v.headers(at.field("headers"), in.Headers, false)...)
	out.Headers = append(out.Headers, v.headers(at.field("withoutHeaders"), in.WithoutHeaders, true)...)
	slices.SortFunc(out.Headers, ir.HeaderMatch.Compare)
	out.Query = v.query(at.field("queryParams"), in.QueryParams)
	out.Place = v.place(at, in)
	if in.StatPrefix != "" {
		if err := checkStatPrefix(in.StatPrefix); err != nil {
			v.notes.invalid(at.field("statPrefix"), "%v", err)
		}
		out.StatPrefix = in.StatPrefix
	}
	return out, v.notes.errors() == before
}

// isPath tells whether the path of a request can begin like this.
func isPath(s string) bool {
	return s == "" || s == "*" || s[0] == '/' && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// placed is what matches of every kind say of where they hold.
type placed interface {
	GetPort() uint32
	GetSourceNamespace() string
	GetSourceLabels() map[string]string
	GetGateways() []string
}

// place projects at which proxies and at which port a match holds.
func (v *virtualService) place(at path, in placed) ir.Place {
	var out ir.Place
	if in.GetPort() != 0 {
		port, ok := portNumber(int64(in.GetPort()))
		if !ok {
			v.notes.invalid(at.field("port"), "port %d must be from 1 to 65535", in.GetPort())
		}
		out.Port = port
	}
	if in.GetSourceNamespace() != "" {
		if err := checkLabel(in.GetSourceNamespace()); err != nil {
			v.notes.invalid(at.field("sourceNamespace"), "namespace %v", err)
		}
		out.Namespace = in.GetSourceNamespace()
	}
	out.Labels = ir.NewLabels(in.GetSourceLabels())
	if len(in.GetGateways()) > 0 {
		out.GatewaysSet = true
		out.Mesh, out.Gateways = v.gateways(at.field("gateways"), in.GetGateways())
	}
	return out
}

func (v *virtualService) query(at path, in map[string]*networking.StringMatch) []ir.QueryMatch {
	var out []ir.QueryMatch
	for name, value := range in {
		here := at.key(name)
		if name == "" || len(name) > maxQueryName {
			v.notes.invalid(here, "the name of a parameter must have 1 to %d bytes", maxQueryName)
		}
		m := ir.StringMatch{Kind: ir.MatchPresent}
		if value != nil {
			m = v.text(here, value)
		}
		out = append(out, ir.QueryMatch{Name: name, Match: m})
	}
	slices.SortFunc(out, func(a, b ir.QueryMatch) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// maxQueryName is the longest name of a parameter that Envoy takes, in bytes.
const maxQueryName = 1024

func (v *virtualService) headers(at path, in map[string]*networking.StringMatch, invert bool) []ir.HeaderMatch {
	out := make([]ir.HeaderMatch, 0, len(in))
	for name, value := range in {
		here := at.key(name)
		switch {
		case ignoredHeaders[name]:
			v.notes.warn(ReasonUnreachable, here, "is ignored; use the field %s of the match", name)
			continue
		case strings.HasPrefix(name, "@"):
			name = v.claim(here, name)
		default:
			if err := checkHeader(name); err != nil {
				v.notes.invalid(here, "%v", err)
			}
			name = strings.ToLower(name)
		}
		m := ir.StringMatch{Kind: ir.MatchPresent}
		if value != nil {
			m = v.text(here, value)
		}
		out = append(out, ir.HeaderMatch{Name: name, Match: m, Invert: invert})
	}
	return out
}

// text projects a StringMatch. An empty one matches whatever is there.
func (v *virtualService) text(at path, in *networking.StringMatch) ir.StringMatch {
	switch m := in.GetMatchType().(type) {
	case *networking.StringMatch_Exact:
		return ir.StringMatch{Kind: ir.MatchExact, Value: m.Exact}
	case *networking.StringMatch_Prefix:
		if m.Prefix == "" {
			return ir.StringMatch{Kind: ir.MatchPresent}
		}
		return ir.StringMatch{Kind: ir.MatchPrefix, Value: m.Prefix}
	case *networking.StringMatch_Regex:
		if err := checkRegex(m.Regex); err != nil {
			v.notes.invalid(at.field("regex"), "%v", err)
		}
		return ir.StringMatch{Kind: ir.MatchRegex, Value: m.Regex}
	}
	return ir.StringMatch{Kind: ir.MatchPresent}
}
