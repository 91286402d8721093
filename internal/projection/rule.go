// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"fmt"
	"strings"
	"unicode/utf8"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/meshwright/meshwright/internal/ir"
)

// maxDirectBody is the longest body of a direct response that Envoy takes.
// https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/route/v3/route.proto
const maxDirectBody = 4096

// rule projects one entry of http. ok is false when the rule must not take part in
// routing, because no match is left of those that it had.
func (v *virtualService) rule(i int, in *networking.HTTPRoute) (out ir.Rule, ok bool) {
	at := spec.field("http").index(i)
	out = ir.Rule{Origin: v.notes.origin, Name: in.Name}
	out.Origin.Section = fmt.Sprintf("http[%d]", i)
	for j, m := range in.Match {
		if match, ok := v.match(at.field("match").index(j), m); ok && !v.leftOut("http", i, j) {
			out.Matches = append(out.Matches, match)
		}
	}
	if len(in.Match) > 0 && len(out.Matches) == 0 {
		// Its action is checked all the same, so that users see all problems at once.
		v.action(at, in, &out)
		return out, false
	}
	before := v.notes.errors()
	v.action(at, in, &out)
	if v.notes.errors() > before {
		out = ir.Rule{Origin: out.Origin, Name: out.Name, Matches: out.Matches, Direct: broken()}
	}
	return out, true
}

func (v *virtualService) leftOut(list string, rule, match int) bool {
	g := v.gaps[ruleKey{list, rule}]
	return g != nil && g.matches[match]
}

func (v *virtualService) action(at path, in *networking.HTTPRoute, out *ir.Rule) {
	actions := 0
	for _, set := range []bool{len(in.Route) > 0, in.Redirect != nil, in.DirectResponse != nil, in.Delegate != nil} {
		if set {
			actions++
		}
	}
	switch {
	case actions == 0:
		v.notes.invalid(at, "needs one of route, redirect, directResponse and delegate")
	case actions > 1:
		v.notes.invalid(at, "must have only one of route, redirect, directResponse and delegate")
	case len(in.Route) > 0:
		out.Destinations = v.destinations(at.field("route"), in.Route)
	case in.Redirect != nil:
		out.Redirect = v.redirect(at.field("redirect"), in.Redirect, in.Match)
		v.loops(at.field("redirect"), out)
	case in.DirectResponse != nil:
		out.Direct = v.direct(at.field("directResponse"), in.DirectResponse)
	default:
		out.Delegate = v.delegate(at.field("delegate"), in.Delegate)
	}
	v.handling(at, in, out)
	if in.Timeout != nil {
		d, err := duration(in.Timeout)
		if err != nil {
			v.notes.invalid(at.field("timeout"), "timeout %v", err)
		}
		out.Timeout = d
	}
	if in.Retries != nil {
		out.Retry = v.retry(at.field("retries"), in.Retries)
	}
}

func (v *virtualService) direct(at path, in *networking.HTTPDirectResponse) *ir.Direct {
	if in.Status < 200 || in.Status > 599 {
		v.notes.invalid(at.field("status"), "status %d must be from 200 to 599", in.Status)
	}
	body := in.GetBody().GetString_()
	if bytes := in.GetBody().GetBytes(); len(bytes) > 0 {
		body = string(bytes)
	}
	if !utf8.ValidString(body) {
		v.notes.refused(at.field("body"), "the body must be UTF-8 text")
	}
	if len(body) > maxDirectBody {
		v.notes.invalid(at.field("body"), "body has %d bytes; at most %d are possible", len(body), maxDirectBody)
	}
	return &ir.Direct{Status: in.Status, Body: body}
}

func (v *virtualService) destinations(at path, in []*networking.HTTPRouteDestination) []ir.Destination {
	return weighted(v, at, in, func(here path, r *networking.HTTPRouteDestination, d *ir.Destination) {
		d.Headers, d.Authority = v.edits(here.field("headers"), r.GetHeaders())
	})
}

// weighted projects the targets of a rule. One with weight 0 gets nothing and is
// left out, unless it is the only one: that gets everything, whatever its weight.
func weighted[R interface {
	GetDestination() *networking.Destination
	GetWeight() int32
}](v *virtualService, at path, in []R, more func(path, R, *ir.Destination)) []ir.Destination {
	var out []ir.Destination
	var sum int64
	for i, r := range in {
		here := at.index(i)
		d := v.destination(here.field("destination"), r.GetDestination())
		if w := r.GetWeight(); w < 0 {
			v.notes.invalid(here.field("weight"), "weight %d must not be negative", w)
		} else {
			d.Weight = uint32(w)
			sum += int64(w)
		}
		if len(in) == 1 {
			d.Weight = 100
		}
		if more != nil {
			more(here, r, &d)
		}
		if d.Weight > 0 {
			out = append(out, d)
		}
	}
	if len(in) > 1 && sum == 0 {
		v.notes.invalid(at, "the weights must not all be 0")
	}
	if sum > 1<<32-1 {
		v.notes.invalid(at, "the sum of the weights must be less than 2^32")
	}
	return out
}

func (v *virtualService) destination(at path, in *networking.Destination) ir.Destination {
	if in == nil {
		v.notes.invalid(at, "is required")
		return ir.Destination{}
	}
	out := ir.Destination{Host: v.scope.resolve(in.Host, v.meta.Namespace), Subset: in.Subset}
	// A ServiceEntry may define a pattern, which is a destination as it is.
	if err := checkName(strings.TrimPrefix(in.Host, "*.")); err != nil {
		v.notes.invalid(at.field("host"), "host %v", err)
	}
	if in.Subset != "" {
		if err := checkLabel(in.Subset); err != nil {
			v.notes.invalid(at.field("subset"), "subset %v", err)
		}
	}
	if in.Port != nil {
		port, ok := portNumber(int64(in.Port.Number))
		if !ok {
			v.notes.invalid(at.field("port").field("number"), "port %d must be from 1 to 65535", in.Port.Number)
		}
		out.Port = port
	}
	return out
}
