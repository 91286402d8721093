// SPDX-License-Identifier: Apache-2.0

package route

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/meshwright/meshwright/internal/ir"
)

// rewrite changes the URL that the destination sees. A prefix rewrite is also what
// replaces the whole path of a route that matches by exact text or by pattern.
func rewrite(out *routev3.RouteAction, in *ir.Rewrite) {
	out.PrefixRewrite = in.Path
	if in.Pattern != "" {
		out.RegexRewrite = &matcherv3.RegexMatchAndSubstitute{Pattern: regex(in.Pattern), Substitution: in.Substitute}
	}
	if in.Authority != "" {
		out.HostRewriteSpecifier = &routev3.RouteAction_HostRewriteLiteral{HostRewriteLiteral: in.Authority}
	}
}

// tellHost keeps the host of requests whose host is rewritten.
func tellHost(routes []*routev3.Route) {
	for _, r := range routes {
		a := r.GetRoute()
		if a.GetHostRewriteSpecifier() != nil {
			a.AppendXForwardedHost = true
		}
		for _, c := range a.GetWeightedClusters().GetClusters() {
			if c.GetHostRewriteSpecifier() != nil { // which Envoy does without that
				c.RequestHeadersToAdd = append(c.RequestHeadersToAdd, &corev3.HeaderValueOption{
					Header: &corev3.HeaderValue{Key: "x-forwarded-host", Value: "%REQ(:authority)%"},
				})
			}
		}
	}
}

// redirectCodes is Envoy's names of the status codes of redirects.
var redirectCodes = map[uint32]routev3.RedirectAction_RedirectResponseCode{
	301: routev3.RedirectAction_MOVED_PERMANENTLY,
	302: routev3.RedirectAction_FOUND,
	303: routev3.RedirectAction_SEE_OTHER,
	307: routev3.RedirectAction_TEMPORARY_REDIRECT,
	308: routev3.RedirectAction_PERMANENT_REDIRECT,
}

func redirect(in *ir.Redirect) *routev3.Route_Redirect {
	out := &routev3.RedirectAction{
		HostRedirect: in.Authority,
		PortRedirect: uint32(in.Port),
		ResponseCode: redirectCodes[in.Status],
	}
	if in.Scheme != "" {
		out.SchemeRewriteSpecifier = &routev3.RedirectAction_SchemeRedirect{SchemeRedirect: in.Scheme}
	}
	switch {
	case in.Prefix != "":
		out.PathRewriteSpecifier = &routev3.RedirectAction_PrefixRewrite{PrefixRewrite: in.Prefix}
	case in.Path != "":
		out.PathRewriteSpecifier = &routev3.RedirectAction_PathRedirect{PathRedirect: in.Path}
	}
	return &routev3.Route_Redirect{Redirect: out}
}
