// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"fmt"
	"regexp"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
)

// location is the answer of a redirect: "STATUS to URL". A port of the request
// stays unless the scheme changes, as Envoy does it.
func location(m *routev3.RouteMatch, d *routev3.RedirectAction, c *Call) string {
	was := "http"
	if c.TLS {
		was = "https"
	}
	scheme := was
	if d.GetSchemeRedirect() != "" {
		scheme = d.GetSchemeRedirect()
	}
	host := c.Host
	switch {
	case d.HostRedirect != "":
		host = d.HostRedirect
	case d.PortRedirect == 0 && scheme == was && !defaultPort(scheme, c.Addr.Port()):
		host = fmt.Sprintf("%s:%d", host, c.Addr.Port())
	}
	if d.PortRedirect != 0 {
		host = fmt.Sprintf("%s:%d", host, d.PortRedirect)
	}
	path := c.Path
	switch {
	case d.GetPathRedirect() != "":
		path = d.GetPathRedirect()
	case d.GetPrefixRewrite() != "":
		path = replace(m, c.Path, d.GetPrefixRewrite())
	}
	status := map[routev3.RedirectAction_RedirectResponseCode]int{
		routev3.RedirectAction_MOVED_PERMANENTLY: 301, routev3.RedirectAction_FOUND: 302, routev3.RedirectAction_SEE_OTHER: 303,
		routev3.RedirectAction_TEMPORARY_REDIRECT: 307, routev3.RedirectAction_PERMANENT_REDIRECT: 308,
	}[d.ResponseCode]
	return fmt.Sprintf("%d to %s://%s%s", status, scheme, host, path)
}

func defaultPort(scheme string, port uint16) bool {
	return scheme == "http" && port == 80 || scheme == "https" && port == 443
}

// seen says what of the URL the destination sees otherwise than it was sent.
func seen(r *routev3.Route, c *Call) string {
	a := r.GetRoute()
	out := asHost(a.GetHostRewriteLiteral())
	path := c.Path
	if a.GetPrefixRewrite() != "" {
		path = replace(r.Match, path, a.GetPrefixRewrite())
	}
	if rw := a.GetRegexRewrite(); rw != nil {
		plain, query, has := strings.Cut(path, "?")
		group := regexp.MustCompile(`\\([0-9])`).ReplaceAllString(rw.Substitution, "$${$1}")
		path = regexp.MustCompile(rw.Pattern.Regex).ReplaceAllString(plain, group)
		if has {
			path += "?" + query
		}
	}
	if path != c.Path {
		out += " path " + path
	}
	return out
}

func asHost(host string) string {
	if host == "" {
		return ""
	}
	return " host " + host
}

// replace puts a text in the place of the prefix that was matched, or of the whole
// path when it was matched otherwise; the query stays.
func replace(m *routev3.RouteMatch, path, with string) string {
	if p := m.GetPrefix(); p != "" {
		return with + path[len(p):]
	}
	if _, query, ok := strings.Cut(path, "?"); ok {
		return with + "?" + query
	}
	return with
}
