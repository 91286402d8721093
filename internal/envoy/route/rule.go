// SPDX-License-Identifier: Apache-2.0

package route

import (
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshwright/meshwright/internal/envoy/typed"
	"github.com/meshwright/meshwright/internal/ir"
)

// rule is a route per match, in the order of the matches.
func rule(in *ir.ResolvedRule) []*routev3.Route {
	matches := in.Matches
	if len(matches) == 0 {
		matches = []ir.Match{{}}
	}
	out := make([]*routev3.Route, len(matches))
	for i := range matches {
		out[i] = &routev3.Route{
			Name:       in.Name,
			Match:      match(&matches[i]),
			StatPrefix: matches[i].StatPrefix,
			Metadata:   typed.Origins([]ir.Origin{in.Origin}),

			TypedPerFilterConfig: filters(in),
		}
		switch {
		case in.Direct != nil:
			out[i].Action = direct(in.Direct)
		case in.Redirect != nil:
			out[i].Action = redirect(in.Redirect)
		default:
			out[i].Action = &routev3.Route_Route{Route: action(in)}
		}
		if h := in.Headers; h != nil {
			out[i].RequestHeadersToAdd, out[i].RequestHeadersToRemove = edits(h.Request)
			out[i].ResponseHeadersToAdd, out[i].ResponseHeadersToRemove = edits(h.Response)
		}
	}
	return out
}

func action(in *ir.ResolvedRule) *routev3.RouteAction {
	out := &routev3.RouteAction{
		Timeout:                     durationpb.New(time.Duration(in.Timeout)),
		MaxStreamDuration:           maxGRPC(in.Timeout),
		RetryPolicy:                 retry(in.Retry),
		ClusterNotFoundResponseCode: routev3.RouteAction_SERVICE_UNAVAILABLE,
	}
	for _, c := range in.Copies {
		out.RequestMirrorPolicies = append(out.RequestMirrorPolicies, &routev3.RouteAction_RequestMirrorPolicy{
			Cluster:         c.Cluster.Name(),
			RuntimeFraction: &corev3.RuntimeFractionalPercent{DefaultValue: percent(c.Percent)},
		})
	}
	if in.Rewrite != nil {
		rewrite(out, in.Rewrite)
	}
	if len(in.Targets) == 1 && in.Targets[0].Headers == nil && in.Targets[0].Authority == "" {
		out.ClusterSpecifier = &routev3.RouteAction_Cluster{Cluster: in.Targets[0].Cluster.Name()}
		out.HashPolicy = hash(in.Targets[0].Hash)
		return out
	}
	weighted := &routev3.WeightedCluster{}
	for i := range in.Targets {
		t := &in.Targets[i]
		weighted.Clusters = append(weighted.Clusters, target(t))
		if out.HashPolicy == nil {
			out.HashPolicy = hash(t.Hash)
		}
	}
	out.ClusterSpecifier = &routev3.RouteAction_WeightedClusters{WeightedClusters: weighted}
	return out
}

func target(t *ir.Target) *routev3.WeightedCluster_ClusterWeight {
	out := &routev3.WeightedCluster_ClusterWeight{
		Name: t.Cluster.Name(), Weight: wrapperspb.UInt32(t.Weight),
	}
	if h := t.Headers; h != nil {
		out.RequestHeadersToAdd, out.RequestHeadersToRemove = edits(h.Request)
		out.ResponseHeadersToAdd, out.ResponseHeadersToRemove = edits(h.Response)
	}
	if t.Authority != "" {
		out.HostRewriteSpecifier = &routev3.WeightedCluster_ClusterWeight_HostRewriteLiteral{HostRewriteLiteral: t.Authority}
	}
	return out
}

// maxGRPC lets a gRPC client's own deadline shorten the route's timeout.
func maxGRPC(timeout int64) *routev3.RouteAction_MaxStreamDuration {
	if timeout == 0 {
		return nil
	}
	d := durationpb.New(time.Duration(timeout))
	return &routev3.RouteAction_MaxStreamDuration{MaxStreamDuration: d, GrpcTimeoutHeaderMax: d}
}

func inboundAction(cluster string) *routev3.RouteAction {
	return &routev3.RouteAction{
		ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: cluster},
		Timeout:          none(),
		// The application closed an idle connection just as the request was
		// to go out on it: it has seen nothing of the request.
		RetryPolicy: &routev3.RetryPolicy{RetryOn: "reset-before-request", NumRetries: wrapperspb.UInt32(2)},
	}
}

func hash(lb ir.LoadBalancer) []*routev3.RouteAction_HashPolicy {
	p := &routev3.RouteAction_HashPolicy{}
	switch lb.Balance {
	case ir.BalanceHashHeader:
		p.PolicySpecifier = &routev3.RouteAction_HashPolicy_Header_{
			Header: &routev3.RouteAction_HashPolicy_Header{HeaderName: lb.HashKey},
		}
	case ir.BalanceHashCookie:
		c := &routev3.RouteAction_HashPolicy_Cookie{Name: lb.HashKey, Path: lb.HashPath}
		if lb.HashTTL >= 0 {
			c.Ttl = durationpb.New(time.Duration(lb.HashTTL))
		}
		p.PolicySpecifier = &routev3.RouteAction_HashPolicy_Cookie_{Cookie: c}
	case ir.BalanceHashSourceIP:
		p.PolicySpecifier = &routev3.RouteAction_HashPolicy_ConnectionProperties_{
			ConnectionProperties: &routev3.RouteAction_HashPolicy_ConnectionProperties{SourceIp: true},
		}
	case ir.BalanceHashQuery:
		p.PolicySpecifier = &routev3.RouteAction_HashPolicy_QueryParameter_{
			QueryParameter: &routev3.RouteAction_HashPolicy_QueryParameter{Name: lb.HashKey},
		}
	default:
		return nil
	}
	return []*routev3.RouteAction_HashPolicy{p}
}

func none() *durationpb.Duration { return durationpb.New(0) }
