// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"slices"

	"google.golang.org/protobuf/types/known/wrapperspb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/meshwright/meshwright/internal/ir"
)

// outlierDetection projects when an endpoint is taken out. A field in error has
// its default. See
// https://istio.io/latest/docs/reference/config/networking/destination-rule/#OutlierDetection.
func (d *destinationRule) outlierDetection(at path, in *networking.OutlierDetection) *ir.OutlierDetection {
	if in == nil {
		return nil
	}
	out := &ir.OutlierDetection{
		Consecutive5xx:         number(in.Consecutive_5XxErrors),
		ConsecutiveGateway:     number(in.ConsecutiveGatewayErrors),
		ConsecutiveLocalOrigin: number(in.ConsecutiveLocalOriginFailures),
		SplitLocalOrigin:       in.SplitExternalLocalOriginErrors,
		Interval:               d.timeout(at.field("interval"), in.Interval),
		BaseEjectionTime:       d.timeout(at.field("baseEjectionTime"), in.BaseEjectionTime),
		MaxEjectionPercent:     d.percent(at.field("maxEjectionPercent"), in.MaxEjectionPercent),
		MinHealthPercent:       d.percent(at.field("minHealthPercent"), in.MinHealthPercent),
	}
	if !out.SplitLocalOrigin && out.ConsecutiveLocalOrigin != nil {
		d.notes.invalid(at.field("consecutiveLocalOriginFailures"), "needs splitExternalLocalOriginErrors")
		out.ConsecutiveLocalOrigin = nil
	}
	for i, code := range in.OutlierDetectionHttpErrorCodes {
		if code < 100 || code > 599 {
			d.notes.invalid(at.field("outlierDetectionHttpErrorCodes").index(i), "%d must be from 100 to 599", code)
			continue
		}
		out.ErrorCodes = append(out.ErrorCodes, code)
	}
	slices.Sort(out.ErrorCodes)
	out.ErrorCodes = slices.Compact(out.ErrorCodes)
	return out
}

func number(in *wrapperspb.UInt32Value) *uint32 {
	if in == nil {
		return nil
	}
	return &in.Value
}

func (d *destinationRule) percent(at path, in int32) uint32 {
	if in < 0 || in > 100 {
		d.notes.invalid(at, "%d must be from 0 to 100", in)
		return 0
	}
	return uint32(in)
}
