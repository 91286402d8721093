// SPDX-License-Identifier: Apache-2.0

package filter

import (
	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	grpcwebv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_web/v3"
	sessionv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/stateful_session/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/meshwright/meshwright/internal/envoy/typed"
)

func corsFilter() *hcmv3.HttpFilter { return httpFilter(typed.FilterCORS, &corsv3.Cors{}) }

func grpcWebFilter() *hcmv3.HttpFilter {
	return httpFilter("envoy.filters.http.grpc_web", &grpcwebv3.GrpcWeb{})
}

func sessionFilter() *hcmv3.HttpFilter {
	return httpFilter(typed.FilterSession, &sessionv3.StatefulSession{})
}

func faultFilter() *hcmv3.HttpFilter { return httpFilter(typed.FilterFault, &faultv3.HTTPFault{}) }
