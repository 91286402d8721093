// SPDX-License-Identifier: Apache-2.0

package route

import (
	commonfaultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/fault/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/meshwright/meshwright/internal/ir"
)

func fault(in *ir.Fault) *faultv3.HTTPFault {
	out := &faultv3.HTTPFault{}
	if in.Delay > 0 {
		out.Delay = &commonfaultv3.FaultDelay{
			FaultDelaySecifier: &commonfaultv3.FaultDelay_FixedDelay{FixedDelay: durationpb.New(in.Delay)},
			Percentage:         percent(in.DelayPercent),
		}
	}
	switch {
	case in.HasGRPC:
		out.Abort = &faultv3.FaultAbort{ErrorType: &faultv3.FaultAbort_GrpcStatus{GrpcStatus: in.AbortGRPC}}
	case in.AbortStatus > 0:
		out.Abort = &faultv3.FaultAbort{ErrorType: &faultv3.FaultAbort_HttpStatus{HttpStatus: in.AbortStatus}}
	}
	if out.Abort != nil {
		out.Abort.Percentage = percent(in.AbortPercent)
	}
	return out
}

func percent(p ir.Percent) *typev3.FractionalPercent {
	return &typev3.FractionalPercent{Numerator: uint32(p), Denominator: typev3.FractionalPercent_MILLION}
}
