// SPDX-License-Identifier: Apache-2.0

package filter

import (
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	jwtv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/jwt_authn/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshwright/meshwright/internal/envoy/typed"
	"github.com/meshwright/meshwright/internal/ir"
)

// tokenFilter verifies the tokens of requests. What it verifies is a resource of its
// own, so that an edit of it closes no connection. The listener waits for the first:
// no request gets by without a look at its token.
func tokenFilter() *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{
		Name: typed.FilterTokens,
		ConfigType: &hcmv3.HttpFilter_ConfigDiscovery{ConfigDiscovery: &corev3.ExtensionConfigSource{
			ConfigSource: typed.ADS(),
			TypeUrls:     []string{"type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication"},
		}},
	}
}

// Tokens is which tokens a workload's filter verifies. A request without passes, and one
// with a token that is not valid gets 401. Of several tokens one decides: that of the
// first header by name, then of parameters and cookies.
//
// The claims of a valid token are metadata of the request, where routes and policies
// find them; the issuer and the subject are among them.
func Tokens(in *ir.Tokens, routed bool) *corev3.TypedExtensionConfig {
	out := &jwtv3.JwtAuthentication{
		Providers: map[string]*jwtv3.JwtProvider{},
		Rules: []*jwtv3.RequirementRule{{
			Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{}},
			RequirementType: &jwtv3.RequirementRule_Requires{Requires: &jwtv3.JwtRequirement{
				RequiresType: &jwtv3.JwtRequirement_AllowMissing{AllowMissing: &emptypb.Empty{}},
			}},
		}},
	}
	for i := range in.Rules {
		p := provider(&in.Rules[i])
		p.ClearRouteCache = routed // the route is chosen again, now by claims too
		out.Providers[p.Issuer] = p
	}
	return &corev3.TypedExtensionConfig{Name: typed.FilterTokens, TypedConfig: typed.Config(out)}
}

func provider(in *ir.TokenRule) *jwtv3.JwtProvider {
	out := &jwtv3.JwtProvider{
		Issuer:               in.Issuer,
		Audiences:            in.Audiences,
		Forward:              in.Forward,
		FromParams:           in.Params,
		FromCookies:          in.Cookies,
		ForwardPayloadHeader: in.PayloadHeader,
		PayloadInMetadata:    typed.TokenPayload,
	}
	switch {
	case in.Keys.From != (ir.KeysSource{}):
		out.JwksSourceSpecifier = remote(&in.Keys.From)
	case in.Keys.Set != "":
		out.JwksSourceSpecifier = local(in.Keys.Set)
	default:
		out.JwksSourceSpecifier = local(noKeys)
	}
	if len(in.Lists) > 0 {
		out.NormalizePayloadInMetadata = &jwtv3.JwtProvider_NormalizePayload{SpaceDelimitedClaims: in.Lists}
	}
	for _, h := range in.Headers {
		out.FromHeaders = append(out.FromHeaders, &jwtv3.JwtHeader{Name: h.Name, ValuePrefix: h.Prefix})
	}
	for _, c := range in.Claims {
		out.ClaimToHeaders = append(out.ClaimToHeaders, &jwtv3.JwtClaimToHeader{HeaderName: c.Header, ClaimName: c.Claim})
	}
	return out
}

// noKeys is a key set with which no token is valid. Envoy refuses an empty one, so it has
// a point of the curve of which nobody knows the private key: its x is a digest of words.
const noKeys = `{"keys":[{"kty":"EC","crv":"P-256","x":"3WICT8IwcI-KyBKvx5m4IOYDp04Pbd6bf_mcR-A2Vac","y":"PmrWqT8d4b5Wnuky7Jga9iO_9A-XLgLA7SqTynnY5_w"}]}`

func local(set string) *jwtv3.JwtProvider_LocalJwks {
	return &jwtv3.JwtProvider_LocalJwks{LocalJwks: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: set}}}
}

const (
	// keysLife is how old keys get before they are fetched again. Those that proxies
	// have stay valid until then and as long as no others can be had.
	keysLife = 5 * time.Minute
	// keysPause is between failed attempts.
	keysPause   = 5 * time.Second
	keysBackoff = 200 * time.Millisecond
)

// remote fetches keys apart from requests. Listeners do not wait for them: an issuer
// that is away must not keep requests without tokens, or with those of others, out.
func remote(in *ir.KeysSource) *jwtv3.JwtProvider_RemoteJwks {
	return &jwtv3.JwtProvider_RemoteJwks{RemoteJwks: &jwtv3.RemoteJwks{
		HttpUri: &corev3.HttpUri{
			Uri:              in.URI,
			HttpUpstreamType: &corev3.HttpUri_Cluster{Cluster: in.ClusterName()},
			Timeout:          durationpb.New(in.Timeout),
		},
		CacheDuration: durationpb.New(keysLife),
		AsyncFetch:    &jwtv3.JwksAsyncFetch{FastListener: true, FailedRefetchDuration: durationpb.New(keysPause)},
		RetryPolicy: &corev3.RetryPolicy{
			NumRetries:   wrapperspb.UInt32(1),
			RetryBackOff: &corev3.BackoffStrategy{BaseInterval: durationpb.New(keysBackoff)},
		},
	}}
}
