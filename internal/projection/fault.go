// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"math"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/meshwright/meshwright/internal/ir"
)

// grpcStatuses is the names of https://github.com/grpc/grpc/blob/master/doc/statuscodes.md.
var grpcStatuses = map[string]uint32{
	"OK": 0, "CANCELLED": 1, "UNKNOWN": 2, "INVALID_ARGUMENT": 3, "DEADLINE_EXCEEDED": 4,
	"NOT_FOUND": 5, "ALREADY_EXISTS": 6, "PERMISSION_DENIED": 7, "RESOURCE_EXHAUSTED": 8,
	"FAILED_PRECONDITION": 9, "ABORTED": 10, "OUT_OF_RANGE": 11, "UNIMPLEMENTED": 12,
	"INTERNAL": 13, "UNAVAILABLE": 14, "DATA_LOSS": 15, "UNAUTHENTICATED": 16,
}

// fault projects what is to go wrong; nil when nothing does. A delay or an abort
// without a percentage is of no request, as the API says.
func (v *virtualService) fault(at path, in *networking.HTTPFaultInjection) *ir.Fault {
	out := ir.Fault{}
	if in.Delay == nil && in.Abort == nil {
		v.notes.invalid(at, "needs delay or abort")
	}
	if d := in.Delay; d != nil {
		v.delay(at.field("delay"), d, &out)
	}
	if a := in.Abort; a != nil {
		v.abort(at.field("abort"), a, &out)
	}
	if out.DelayPercent == 0 {
		out.Delay = 0
	}
	if out.AbortPercent == 0 {
		out.AbortStatus, out.AbortGRPC, out.HasGRPC = 0, 0, false
	}
	if out.Delay == 0 && out.AbortStatus == 0 && !out.HasGRPC {
		return nil
	}
	return &out
}

func (v *virtualService) delay(at path, in *networking.HTTPFaultInjection_Delay, out *ir.Fault) {
	switch d := in.HttpDelayType.(type) {
	case nil:
		v.notes.invalid(at, "needs fixedDelay")
	case *networking.HTTPFaultInjection_Delay_FixedDelay:
		delay, err := duration(d.FixedDelay)
		if err != nil {
			v.notes.invalid(at.field("fixedDelay"), "delay %v", err)
		}
		out.Delay = delay
	}
	switch {
	case in.Percentage != nil:
		out.DelayPercent = v.percentage(at.field("percentage"), in.Percentage)
	case in.Percent != 0:
		out.DelayPercent = v.percent(at.field("percent"), float64(in.Percent))
	default:
		v.notes.warn(ReasonUnreachable, at, "delays no request, as it has no percentage; set percentage")
	}
}

func (v *virtualService) abort(at path, in *networking.HTTPFaultInjection_Abort, out *ir.Fault) {
	switch e := in.ErrorType.(type) {
	case nil:
		v.notes.invalid(at, "needs httpStatus or grpcStatus")
	case *networking.HTTPFaultInjection_Abort_HttpStatus:
		if e.HttpStatus < 200 || e.HttpStatus > 599 {
			v.notes.invalid(at.field("httpStatus"), "status %d must be from 200 to 599", e.HttpStatus)
			return
		}
		out.AbortStatus = uint32(e.HttpStatus)
	case *networking.HTTPFaultInjection_Abort_GrpcStatus:
		code, ok := grpcStatuses[e.GrpcStatus]
		if !ok {
			v.notes.invalid(at.field("grpcStatus"), "%q is no gRPC status; use a name in capitals, like UNAVAILABLE", e.GrpcStatus)
		}
		out.AbortGRPC, out.HasGRPC = code, ok
	}
	if in.Percentage == nil {
		v.notes.warn(ReasonUnreachable, at, "aborts no request, as it has no percentage; set percentage")
		return
	}
	out.AbortPercent = v.percentage(at.field("percentage"), in.Percentage)
}

func (v *virtualService) percentage(at path, in *networking.Percent) ir.Percent {
	return v.percent(at.field("value"), in.Value)
}

func (v *virtualService) percent(at path, p float64) ir.Percent {
	if !(p >= 0 && p <= 100) {
		v.notes.invalid(at, "%v must be from 0 to 100", p)
		return 0
	}
	return ir.Percent(math.Round(p * float64(ir.Everything) / 100))
}
