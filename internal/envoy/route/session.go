// SPDX-License-Identifier: Apache-2.0

package route

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	sessionv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/stateful_session/v3"
	cookiev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/stateful_session/cookie/v3"
	headerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/stateful_session/header/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/type/http/v3"
	"google.golang.org/protobuf/proto"

	"github.com/meshwright/meshwright/internal/envoy/typed"
	"github.com/meshwright/meshwright/internal/ir"
)

// session lets answers name the endpoint, and requests ask for it. The cookie has no end
// of its own: it lasts as long as the endpoint does, or the client.
func session(s *ir.Session) *sessionv3.StatefulSessionPerRoute {
	name, state := "envoy.http.stateful_session.cookie", proto.Message(&cookiev3.CookieBasedSessionState{
		Cookie: &httpv3.Cookie{Name: s.Cookie, Path: s.Path},
	})
	if s.Header != "" {
		name, state = "envoy.http.stateful_session.header", &headerv3.HeaderBasedSessionState{Name: s.Header}
	}
	return &sessionv3.StatefulSessionPerRoute{Override: &sessionv3.StatefulSessionPerRoute_StatefulSession{
		StatefulSession: &sessionv3.StatefulSession{SessionState: &corev3.TypedExtensionConfig{Name: name, TypedConfig: typed.Config(state)}},
	}}
}
