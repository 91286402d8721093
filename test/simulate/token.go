// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"slices"

	jwtv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/jwt_authn/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

const tokenFilter = "envoy.filters.http.jwt_authn"

// verify is a call as routes see it: with claims if its token was looked at and routes
// are chosen again then. Otherwise refusal is the proxy's answer, or empty.
func (p *Proxy) verify(m *hcmv3.HttpConnectionManager, c *Call) (seen *Call, refusal string) {
	if c.Claims == nil {
		return c, ""
	}
	without := *c
	without.Claims = nil
	if !slices.ContainsFunc(m.HttpFilters, func(f *hcmv3.HttpFilter) bool { return f.Name == tokenFilter }) {
		return &without, ""
	}
	filter := &jwtv3.JwtAuthentication{}
	if err := p.extensions[tokenFilter].UnmarshalTo(filter); err != nil {
		return nil, "unreadable filter: " + err.Error()
	}
	for _, provider := range filter.Providers {
		switch {
		case provider.Issuer != c.Claims["iss"]:
		case provider.ClearRouteCache:
			return c, ""
		default:
			return &without, ""
		}
	}
	return nil, "401: unknown issuer"
}

// claimMatches follows Envoy: what is not there has no value, which fits nothing.
func claimMatches(m *matcherv3.MetadataMatcher, c *Call) bool {
	var value any
	if m.Filter == tokenFilter && c.Claims != nil {
		value = map[string]any{"payload": c.Claims}
	}
	for _, segment := range m.Path {
		inside, _ := value.(map[string]any)
		value = inside[segment.GetKey()]
	}
	return valueMatches(m.Value, value) != m.Invert
}

func valueMatches(m *matcherv3.ValueMatcher, value any) bool {
	switch p := m.GetMatchPattern().(type) {
	case *matcherv3.ValueMatcher_PresentMatch:
		return (value != nil) == p.PresentMatch
	case *matcherv3.ValueMatcher_StringMatch:
		text, ok := value.(string)
		return ok && textMatches(p.StringMatch, text)
	case *matcherv3.ValueMatcher_ListMatch:
		list, _ := value.([]any)
		return slices.ContainsFunc(list, func(v any) bool { return valueMatches(p.ListMatch.GetOneOf(), v) })
	case *matcherv3.ValueMatcher_OrMatch:
		return slices.ContainsFunc(p.OrMatch.ValueMatchers, func(o *matcherv3.ValueMatcher) bool { return valueMatches(o, value) })
	}
	return false
}
