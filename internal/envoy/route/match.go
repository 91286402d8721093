// SPDX-License-Identifier: Apache-2.0

package route

import (
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshwright/meshwright/internal/envoy/typed"
	"github.com/meshwright/meshwright/internal/ir"
)

func everything() *routev3.RouteMatch {
	return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}}
}

func match(in *ir.Match) *routev3.RouteMatch {
	out := everything()
	if in.Path != nil {
		switch in.Path.Kind {
		case ir.MatchPrefix:
			out.PathSpecifier = &routev3.RouteMatch_Prefix{Prefix: in.Path.Value}
		case ir.MatchRegex:
			value := in.Path.Value
			if in.PathIgnoreCase {
				value = "(?i)" + value
			}
			out.PathSpecifier = &routev3.RouteMatch_SafeRegex{SafeRegex: regex(value)}
		default:
			out.PathSpecifier = &routev3.RouteMatch_Path{Path: in.Path.Value}
		}
		if in.PathIgnoreCase && in.Path.Kind != ir.MatchRegex {
			out.CaseSensitive = wrapperspb.Bool(false)
		}
	}
	for i := range in.Headers {
		if path := in.Headers[i].Claim(); path != nil {
			out.DynamicMetadata = append(out.DynamicMetadata, claim(path, &in.Headers[i]))
		} else {
			out.Headers = append(out.Headers, header(&in.Headers[i]))
		}
	}
	for i := range in.Query {
		out.QueryParameters = append(out.QueryParameters, parameter(&in.Query[i]))
	}
	return out
}

func parameter(in *ir.QueryMatch) *routev3.QueryParameterMatcher {
	out := &routev3.QueryParameterMatcher{Name: in.Name}
	if in.Match.Kind == ir.MatchPresent {
		out.QueryParameterMatchSpecifier = &routev3.QueryParameterMatcher_PresentMatch{PresentMatch: true}
		return out
	}
	out.QueryParameterMatchSpecifier = &routev3.QueryParameterMatcher_StringMatch{StringMatch: text(in.Match)}
	return out
}

func header(in *ir.HeaderMatch) *routev3.HeaderMatcher {
	out := &routev3.HeaderMatcher{Name: in.Name, InvertMatch: in.Invert}
	if in.Match.Kind == ir.MatchPresent {
		out.HeaderMatchSpecifier = &routev3.HeaderMatcher_PresentMatch{PresentMatch: true}
		return out
	}
	// Without it a header that is absent fits nothing, inverted or not, and a
	// request without the header would not be one "without that value".
	out.TreatMissingHeaderAsEmpty = in.Invert
	out.HeaderMatchSpecifier = &routev3.HeaderMatcher_StringMatch{StringMatch: text(in.Match)}
	return out
}

// claim looks at a claim of the request's token, which is a text or a list of texts. A
// claim that is not there has no value, also for a match that is inverted.
func claim(path []string, in *ir.HeaderMatch) *matcherv3.MetadataMatcher {
	out := &matcherv3.MetadataMatcher{Filter: typed.FilterTokens, Invert: in.Invert}
	for _, key := range append([]string{typed.TokenPayload}, path...) {
		out.Path = append(out.Path, &matcherv3.MetadataMatcher_PathSegment{Segment: &matcherv3.MetadataMatcher_PathSegment_Key{Key: key}})
	}
	if in.Match.Kind == ir.MatchPresent {
		out.Value = &matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_PresentMatch{PresentMatch: true}}
		return out
	}
	one := &matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_StringMatch{StringMatch: text(in.Match)}}
	list := &matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_ListMatch{ListMatch: &matcherv3.ListMatcher{
		MatchPattern: &matcherv3.ListMatcher_OneOf{OneOf: one},
	}}}
	out.Value = &matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_OrMatch{
		OrMatch: &matcherv3.OrMatcher{ValueMatchers: []*matcherv3.ValueMatcher{one, list}},
	}}
	return out
}

// text compares with a value; whether there is one at all is for the caller to ask.
func text(in ir.StringMatch) *matcherv3.StringMatcher {
	switch in.Kind {
	case ir.MatchPrefix:
		return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: in.Value}}
	case ir.MatchRegex:
		return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: regex(in.Value)}}
	}
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: in.Value}}
}

func regex(s string) *matcherv3.RegexMatcher { return &matcherv3.RegexMatcher{Regex: s} }
