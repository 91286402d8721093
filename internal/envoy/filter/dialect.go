// SPDX-License-Identifier: Apache-2.0

package filter

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshwright/meshwright/internal/envoy/typed"
	"github.com/meshwright/meshwright/internal/ir"
)

// speak sets what of a dialect is not the usual.
func speak(m *hcmv3.HttpConnectionManager, d ir.Dialect) {
	if d.HTTP10 || d.PreserveCase {
		m.HttpProtocolOptions = &corev3.Http1ProtocolOptions{AcceptHttp_10: d.HTTP10}
		if d.PreserveCase {
			m.HttpProtocolOptions.HeaderKeyFormat = typed.KeepCase()
		}
	}
	if d.Server != "" {
		m.ServerName, m.ServerHeaderTransformation = d.Server, hcmv3.HttpConnectionManager_OVERWRITE
	}
	if d.NoRequestID {
		m.GenerateRequestId = wrapperspb.Bool(false)
	}
	m.AppendXForwardedPort = d.TellPort
}
