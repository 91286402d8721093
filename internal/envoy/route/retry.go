// SPDX-License-Identifier: Apache-2.0

package route

import (
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	previousv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	prioritiesv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/priority/previous_priorities/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshwright/meshwright/internal/envoy/typed"
	"github.com/meshwright/meshwright/internal/ir"
)

// unsent is when a failed attempt certainly did no work at the server, so that
// doing it again is safe for every method.
const unsent = "connect-failure,refused-stream,reset-before-request"

// hostAttempts is how often a host is drawn again when it was tried already.
const hostAttempts = 5

func retry(r *ir.Retry) *routev3.RetryPolicy {
	if r == nil {
		r = &ir.Retry{Attempts: 2, On: unsent}
	}
	if r.Attempts == 0 {
		return nil
	}
	out := &routev3.RetryPolicy{
		RetryOn:              r.On,
		NumRetries:           wrapperspb.UInt32(r.Attempts),
		PerTryTimeout:        typed.Duration(r.PerTryTimeout),
		RetriableStatusCodes: r.StatusCodes,
	}
	if !r.SameHosts {
		out.RetryHostPredicate = []*routev3.RetryPolicy_RetryHostPredicate{{
			Name:       "envoy.retry_host_predicates.previous_hosts",
			ConfigType: &routev3.RetryPolicy_RetryHostPredicate_TypedConfig{TypedConfig: previousHosts},
		}}
		out.HostSelectionRetryMaxAttempts = hostAttempts
	}
	if r.Remote {
		out.RetryPriority = &routev3.RetryPolicy_RetryPriority{
			Name:       "envoy.retry_priorities.previous_priorities",
			ConfigType: &routev3.RetryPolicy_RetryPriority_TypedConfig{TypedConfig: previousPriorities},
		}
	}
	if r.Backoff > 0 {
		out.RetryBackOff = &routev3.RetryPolicy_RetryBackOff{BaseInterval: durationpb.New(r.Backoff)}
	}
	return out
}

// previousPriorities leaves a locality after two attempts in it.
var previousPriorities = typed.Config(&prioritiesv3.PreviousPrioritiesConfig{UpdateFrequency: 2})

var previousHosts = typed.Config(&previousv3.PreviousHostsPredicate{})
