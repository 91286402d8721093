// SPDX-License-Identifier: Apache-2.0

package filter

import (
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshwright/meshwright/internal/envoy/typed"
	"github.com/meshwright/meshwright/internal/ir"
)

// edgeHeadersTimeout ends a request whose headers do not arrive, which slow or
// hostile clients would otherwise hold for ever.
const edgeHeadersTimeout = 10 * time.Second

// HTTP is the settings of a connection manager.
type HTTP struct {
	StatPrefix    string
	RouteConfig   string                      // name, over RDS
	Routes        *routev3.RouteConfiguration // or inline
	Edge          *ir.EdgeTopology            // faces clients that are not trusted: a gateway
	HTTP3         bool                        // over QUIC
	Application   bool                        // in front of an application, for clients with certificates of the mesh
	OnDemand      bool                        // asks for the hosts and clusters that a request lacks
	AccessLogFile string
	Paths         ir.PathNormalization
	Tokens        bool // looks at the tokens of users
	GRPCWeb       bool // makes gRPC of gRPC-Web
	Dialect       ir.Dialect
}

// Build is the network filter.
func (h HTTP) Build() *listenerv3.Filter {
	m := &hcmv3.HttpConnectionManager{
		StatPrefix:                   h.StatPrefix,
		HttpFilters:                  h.filters(),
		AccessLog:                    AccessLog(h.AccessLogFile, httpFormat),
		UpgradeConfigs:               []*hcmv3.HttpConnectionManager_UpgradeConfig{{UpgradeType: "websocket"}},
		ServerHeaderTransformation:   hcmv3.HttpConnectionManager_PASS_THROUGH,
		StreamIdleTimeout:            durationpb.New(0),
		ForwardClientCertDetails:     hcmv3.HttpConnectionManager_SANITIZE,
		UseRemoteAddress:             wrapperspb.Bool(h.Edge != nil),
		StripTrailingHostDot:         true,
		AlwaysSetRequestIdInResponse: false,
	}
	normalize(m, h.Paths)
	if h.Application {
		// What the clients of a gateway showed it stays, with the gateway behind it.
		how := ir.CertAppendForward
		if h.Dialect.ClientCertSet {
			how = h.Dialect.ClientCert
		}
		forwardClientCert(m, how, h.Dialect.CertParts)
	}
	if h.Edge != nil {
		m.RequestHeadersTimeout = durationpb.New(edgeHeadersTimeout)
		m.XffNumTrustedHops = h.Edge.TrustedProxies
		forwardClientCert(m, h.Edge.ClientCert, h.Dialect.CertParts)
	} else {
		m.SkipXffAppend = true
	}
	speak(m, h.Dialect)
	if h.HTTP3 {
		m.CodecType, m.Http3ProtocolOptions = hcmv3.HttpConnectionManager_HTTP3, &corev3.Http3ProtocolOptions{}
	}
	if h.Routes != nil {
		m.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: h.Routes}
	} else {
		m.RouteSpecifier = &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{
			ConfigSource: typed.ADS(), RouteConfigName: h.RouteConfig,
		}}
	}
	return network("envoy.filters.network.http_connection_manager", m)
}

// normalize says what is made of a path before anything compares it.
func normalize(m *hcmv3.HttpConnectionManager, how ir.PathNormalization) {
	m.NormalizePath = wrapperspb.Bool(how != ir.PathAsIs)
	m.MergeSlashes = how == ir.PathMergeSlashes || how == ir.PathDecodeAndMergeSlashes
	if how == ir.PathDecodeAndMergeSlashes {
		m.PathWithEscapedSlashesAction = hcmv3.HttpConnectionManager_UNESCAPE_AND_FORWARD
	}
}

var clientCerts = map[ir.ClientCertForwarding]hcmv3.HttpConnectionManager_ForwardClientCertDetails{
	ir.CertSanitizeSet:   hcmv3.HttpConnectionManager_SANITIZE_SET,
	ir.CertSanitize:      hcmv3.HttpConnectionManager_SANITIZE,
	ir.CertForward:       hcmv3.HttpConnectionManager_FORWARD_ONLY,
	ir.CertAppendForward: hcmv3.HttpConnectionManager_APPEND_FORWARD,
	ir.CertAlwaysForward: hcmv3.HttpConnectionManager_ALWAYS_FORWARD_ONLY,
}

// forwardClientCert says what becomes of x-forwarded-client-cert. Without a
// certificate of the client, Envoy removes it, but for CertAlwaysForward.
func forwardClientCert(m *hcmv3.HttpConnectionManager, how ir.ClientCertForwarding, parts ir.CertParts) {
	m.ForwardClientCertDetails = clientCerts[how]
	if how == ir.CertSanitizeSet || how == ir.CertAppendForward {
		m.SetCurrentClientCertDetails = &hcmv3.HttpConnectionManager_SetCurrentClientCertDetails{
			Subject: wrapperspb.Bool(!parts.NoSubject), Uri: !parts.NoURI, Dns: !parts.NoDNS, Cert: parts.Cert, Chain: parts.Chain,
		}
	}
}

// filters is the chain in its order. Filters that rules speak to are only where
// rules are: not in front of an application, whose one route is inline.
func (h HTTP) filters() []*hcmv3.HttpFilter {
	var out []*hcmv3.HttpFilter
	if h.OnDemand {
		out = append(out, onDemandFilter()) // first: it starts the request anew, and the others must see it once
	}
	if h.Routes == nil {
		out = append(out, corsFilter()) // before all that answers, so that a browser may read the answer
	}
	if h.GRPCWeb {
		out = append(out, grpcWebFilter()) // before others that answer: a client of gRPC-Web must understand them
	}
	if h.Tokens {
		out = append(out, tokenFilter()) // before all that a rule may do: which rule holds may depend on the token
	}
	if h.Routes == nil {
		out = append(out,
			faultFilter(),   // before all that would do work for a request that is to fail
			sessionFilter(), // after what may answer in the server's place
		)
		out = append(out, nameFilters()...)
	}
	return append(out,
		httpFilter("envoy.filters.http.router", &routerv3.Router{SuppressEnvoyHeaders: h.Dialect.NoEnvoyTimes}), // last: it is the one that answers
	)
}

func httpFilter(name string, m proto.Message) *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{
		Name:       name,
		ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: typed.Config(m)},
	}
}
