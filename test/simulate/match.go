// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"cmp"
	"net/url"
	"regexp"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

// virtualHost finds the host of a request: an exact domain, then the longest
// suffix wildcard, then the longest prefix wildcard, then "*".
// See https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/route/v3/route_components.proto.
func virtualHost(hosts []*routev3.VirtualHost, host string) *routev3.VirtualHost {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	var best *routev3.VirtualHost
	var rank, length int
	for _, vh := range hosts {
		for _, d := range vh.Domains {
			r := domainRank(d, host)
			if r > rank || r == rank && r > 0 && len(d) > length {
				best, rank, length = vh, r, len(d)
			}
		}
	}
	return best
}

func domainRank(domain, host string) int {
	tail, suffix := strings.CutPrefix(domain, "*")
	head, prefix := strings.CutSuffix(domain, "*")
	switch {
	case domain == host:
		return 4
	case domain == "*":
		return 1
	case suffix && strings.HasSuffix(host, tail) && len(host) > len(tail):
		return 3
	case prefix && strings.HasPrefix(host, head) && len(host) > len(head):
		return 2
	}
	return 0
}

func matches(m *routev3.RouteMatch, c *Call) bool {
	if !pathMatches(m, c.Path) {
		return false
	}
	for _, h := range m.Headers {
		if !headerMatches(h, c) {
			return false
		}
	}
	for _, d := range m.DynamicMetadata {
		if !claimMatches(d, c) {
			return false
		}
	}
	_, query, _ := strings.Cut(c.Path, "?")
	values, err := url.ParseQuery(query)
	for _, q := range m.QueryParameters {
		present := err == nil && values.Has(q.Name)
		if !present || q.GetStringMatch() != nil && !textMatches(q.GetStringMatch(), values.Get(q.Name)) {
			return false
		}
	}
	return true
}

func pathMatches(m *routev3.RouteMatch, path string) bool {
	path, _, _ = strings.Cut(path, "?")
	fold := func(s string) string {
		if m.CaseSensitive != nil && !m.CaseSensitive.Value {
			return strings.ToLower(s)
		}
		return s
	}
	switch s := m.PathSpecifier.(type) {
	case *routev3.RouteMatch_Path:
		return fold(path) == fold(s.Path)
	case *routev3.RouteMatch_Prefix:
		return strings.HasPrefix(fold(path), fold(s.Prefix))
	case *routev3.RouteMatch_SafeRegex:
		return whole(s.SafeRegex.Regex, path)
	}
	return false
}

// headerMatches follows Envoy: a header that is absent fits no matcher, inverted or
// not, unless absence is what is asked for or counts as an empty value.
func headerMatches(h *routev3.HeaderMatcher, c *Call) bool {
	value, present := header(c, h.Name)
	if s, ok := h.HeaderMatchSpecifier.(*routev3.HeaderMatcher_PresentMatch); ok {
		return (present == s.PresentMatch) != h.InvertMatch
	}
	if !present && !h.TreatMissingHeaderAsEmpty {
		return false
	}
	return textMatches(h.GetStringMatch(), value) != h.InvertMatch
}

func header(c *Call, name string) (string, bool) {
	switch name {
	case ":method":
		return cmp.Or(c.Method, "GET"), true
	case ":authority":
		return c.authority(), true
	case ":scheme":
		if c.TLS {
			return "https", true
		}
		return "http", true
	}
	v, ok := c.Headers[name]
	return v, ok
}

func textMatches(m *matcherv3.StringMatcher, value string) bool {
	switch p := m.GetMatchPattern().(type) {
	case *matcherv3.StringMatcher_Exact:
		return value == p.Exact
	case *matcherv3.StringMatcher_Prefix:
		return strings.HasPrefix(value, p.Prefix)
	case *matcherv3.StringMatcher_SafeRegex:
		return whole(p.SafeRegex.Regex, value)
	}
	return false
}

func whole(pattern, text string) bool {
	re, err := regexp.Compile("^(?:" + pattern + ")$")
	return err == nil && re.MatchString(text)
}
