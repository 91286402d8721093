// SPDX-License-Identifier: Apache-2.0

package projection

import (
	networking "istio.io/api/networking/v1alpha3"

	"github.com/meshwright/meshwright/internal/ir"
)

// handling projects what a rule does beside choosing where a request goes.
func (v *virtualService) handling(at path, in *networking.HTTPRoute, out *ir.Rule) {
	headers, authority := v.edits(at.field("headers"), in.Headers)
	out.Headers = headers
	if in.Rewrite != nil {
		out.Rewrite = v.rewrite(at.field("rewrite"), in.Rewrite)
		if in.Redirect != nil {
			v.notes.invalid(at.field("rewrite"), "cannot be combined with redirect, which has fields of its own for the URL")
		}
	}
	if in.Fault != nil {
		out.Fault = v.fault(at.field("fault"), in.Fault)
	}
	if in.CorsPolicy != nil {
		out.CORS = v.cors(at.field("corsPolicy"), in.CorsPolicy)
	}
	out.Mirrors = v.mirrors(at, in)
	if len(in.Route) == 0 && in.Delegate == nil && (in.Mirror != nil || len(in.Mirrors) > 0) {
		v.notes.invalid(at, "mirrors need a route")
	}
	if in.Redirect != nil || in.DirectResponse != nil {
		v.idle(at, in)
	}
	if authority != "" && (len(in.Route) > 0 || in.Delegate != nil) {
		if out.Rewrite == nil {
			out.Rewrite = &ir.Rewrite{}
		}
		if out.Rewrite.Authority == "" {
			out.Rewrite.Authority = authority
		}
	}
}

// idle warns of what has an effect only on requests that go on to a destination.
func (v *virtualService) idle(at path, in *networking.HTTPRoute) {
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"timeout", in.Timeout != nil},
		{"retries", in.Retries != nil},
		{"headers.request", in.Headers.GetRequest() != nil},
		{"rewrite", in.Rewrite != nil && in.Redirect == nil},
	} {
		if f.set {
			v.notes.warn(ReasonUnreachable, at.field(f.name), "has no effect, as no request of this rule goes on to a destination; remove it")
		}
	}
}
