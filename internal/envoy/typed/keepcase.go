// SPDX-License-Identifier: Apache-2.0

package typed

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	preservev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/header_formatters/preserve_case/v3"
)

// KeepCase sends names of headers on in the letters in which they came. Both ends of a
// proxy need it: what came at one is remembered there and written at the other.
func KeepCase() *corev3.Http1ProtocolOptions_HeaderKeyFormat {
	return &corev3.Http1ProtocolOptions_HeaderKeyFormat{
		HeaderFormat: &corev3.Http1ProtocolOptions_HeaderKeyFormat_StatefulFormatter{StatefulFormatter: &corev3.TypedExtensionConfig{
			Name: "envoy.http.stateful_header_formatters.preserve_case", TypedConfig: Config(&preservev3.PreserveCaseFormatterConfig{}),
		}},
	}
}
