// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"strconv"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	commonv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/matcher/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshwright/meshwright/internal/ir"
)

// outliers takes bad endpoints out by what they answer. Ejection by success rate
// is off: it judges endpoints by each other, which the API has no field for.
func outliers(c *clusterv3.Cluster, in *ir.OutlierDetection) {
	if in == nil {
		return
	}
	never := func() *wrapperspb.UInt32Value { return wrapperspb.UInt32(0) }
	out := &clusterv3.OutlierDetection{
		EnforcingSuccessRate:           never(),
		SplitExternalLocalOriginErrors: in.SplitLocalOrigin,
		MaxEjectionPercent:             positive(in.MaxEjectionPercent),
	}
	out.Consecutive_5Xx, out.EnforcingConsecutive_5Xx = detector(in.Consecutive5xx)
	out.ConsecutiveGatewayFailure, out.EnforcingConsecutiveGatewayFailure = detector(in.ConsecutiveGateway)
	if in.SplitLocalOrigin {
		out.EnforcingLocalOriginSuccessRate = never()
		out.ConsecutiveLocalOriginFailure, out.EnforcingConsecutiveLocalOriginFailure = detector(in.ConsecutiveLocalOrigin)
	}
	if in.Interval > 0 {
		out.Interval = durationpb.New(in.Interval)
	}
	if in.BaseEjectionTime > 0 {
		out.BaseEjectionTime = durationpb.New(in.BaseEjectionTime)
	}
	c.OutlierDetection = out
	c.CommonLbConfig.HealthyPanicThreshold = &typev3.Percent{Value: float64(in.MinHealthPercent)}
}

// detector is a threshold and how many percent of the endpoints that reach it are
// ejected. Envoy takes no threshold of 0.
func detector(threshold *uint32) (count, enforced *wrapperspb.UInt32Value) {
	switch {
	case threshold == nil:
		return nil, nil
	case *threshold == 0:
		return nil, wrapperspb.UInt32(0)
	}
	return wrapperspb.UInt32(*threshold), wrapperspb.UInt32(100)
}

// errorCodes is which statuses count as errors; nil is 5xx.
func errorCodes(in *ir.OutlierDetection) *httpv3.HttpProtocolOptions_OutlierDetection {
	if in == nil || len(in.ErrorCodes) == 0 {
		return nil
	}
	codes := make([]string, len(in.ErrorCodes))
	for i, code := range in.ErrorCodes {
		codes[i] = strconv.Itoa(int(code))
	}
	status := &routev3.HeaderMatcher{
		Name: ":status",
		HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{
			MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: strings.Join(codes, "|")}},
		}},
	}
	return &httpv3.HttpProtocolOptions_OutlierDetection{ErrorMatcher: &commonv3.MatchPredicate{
		Rule: &commonv3.MatchPredicate_HttpResponseHeadersMatch{
			HttpResponseHeadersMatch: &commonv3.HttpHeadersMatch{Headers: []*routev3.HeaderMatcher{status}},
		},
	}}
}
