// SPDX-License-Identifier: Apache-2.0

package projection

import (
	"slices"
	"strconv"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/meshwright/meshwright/internal/ir"
)

// defaultRetryOn is what the API promises for retries without retryOn.
const defaultRetryOn = "connect-failure,refused-stream,unavailable,cancelled"

// retryConditions is what Envoy knows, for HTTP and for gRPC:
// https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/router_filter#x-envoy-retry-on.
var retryConditions = map[string]bool{
	"5xx": true, "gateway-error": true, "reset": true, "reset-before-request": true,
	"connect-failure": true, "envoy-ratelimited": true, "retriable-4xx": true,
	"refused-stream": true, "retriable-status-codes": true, "retriable-headers": true,
	"http3-post-connect-failure": true,
	"cancelled":                  true, "deadline-exceeded": true, "internal": true,
	"resource-exhausted": true, "unavailable": true,
}

const retriableStatusCodes = "retriable-status-codes"

func (v *virtualService) retry(at path, in *networking.HTTPRetry) *ir.Retry {
	out := &ir.Retry{}
	switch {
	case in.Attempts < 0:
		v.notes.invalid(at.field("attempts"), "attempts %d must not be negative", in.Attempts)
	case in.Attempts == 0 && (in.PerTryTimeout != nil || in.RetryOn != "" || in.Backoff != nil):
		v.notes.invalid(at, "attempts 0 means no retries; remove the other fields or set attempts")
	default:
		out.Attempts = uint32(in.Attempts)
	}
	if in.PerTryTimeout != nil {
		d, err := duration(in.PerTryTimeout)
		if err != nil {
			v.notes.invalid(at.field("perTryTimeout"), "timeout %v", err)
		}
		out.PerTryTimeout = d
	}
	if in.Backoff != nil {
		d, err := duration(in.Backoff)
		if err != nil {
			v.notes.invalid(at.field("backoff"), "backoff %v", err)
		}
		out.Backoff = d
	}
	if out.Attempts > 0 {
		out.SameHosts = in.RetryIgnorePreviousHosts != nil && !in.RetryIgnorePreviousHosts.Value
		out.Remote = in.GetRetryRemoteLocalities().GetValue()
		out.On, out.StatusCodes = v.retryOn(at.field("retryOn"), in.RetryOn)
	}
	return out
}

// retryOn separates the status codes, which users write among the conditions.
func (v *virtualService) retryOn(at path, text string) (string, []uint32) {
	if text == "" {
		return defaultRetryOn, nil
	}
	var conditions []string
	var codes []uint32
	for entry := range strings.SplitSeq(text, ",") {
		entry = strings.TrimSpace(entry)
		code, err := strconv.ParseUint(entry, 10, 16)
		switch {
		case err == nil && code >= 100 && code <= 599:
			codes = append(codes, uint32(code))
		case !retryConditions[entry]:
			v.notes.invalid(at, "%q is neither a retry condition nor a status code", entry)
		default:
			conditions = append(conditions, entry)
		}
	}
	if len(codes) > 0 && !slices.Contains(conditions, retriableStatusCodes) {
		conditions = append(conditions, retriableStatusCodes)
	}
	slices.Sort(codes)
	return strings.Join(conditions, ","), slices.Compact(codes)
}
