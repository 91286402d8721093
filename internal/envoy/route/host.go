// SPDX-License-Identifier: Apache-2.0

// Package route builds Envoy's route configurations and virtual hosts.
// See https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/route/v3/route_components.proto.
package route

import (
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshwright/meshwright/internal/envoy/typed"
	"github.com/meshwright/meshwright/internal/ir"
)

// Config is a route configuration whose hosts come one by one over VHDS, always: Envoy
// drops the hosts of one that did not say so, and keeps those that it had when one stops saying so.
func Config(in *ir.RouteConfig) *routev3.RouteConfiguration {
	out := &routev3.RouteConfiguration{
		Name:                           in.Name,
		ValidateClusters:               wrapperspb.Bool(false),
		IgnorePortInHostMatching:       true,
		MaxDirectResponseBodySizeBytes: wrapperspb.UInt32(maxDirectBody),
		Vhds:                           &routev3.Vhds{ConfigSource: typed.ADS()},
	}
	if in.HTTP3 != 0 {
		out.ResponseHeadersToAdd = []*corev3.HeaderValueOption{{
			Header: &corev3.HeaderValue{Key: "alt-svc", Value: fmt.Sprintf(`h3=":%d"; ma=86400`, in.HTTP3)},
			// What the application says is of its own ports, which clients do not see.
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		}}
	}
	return out
}

// maxDirectBody bounds the answers that a rule may hold, in bytes.
const maxDirectBody = 1 << 20

// VirtualHost is one host with its rules in order.
func VirtualHost(in *ir.VirtualHost) *routev3.VirtualHost {
	out := &routev3.VirtualHost{
		Name:                       in.Key.Name(),
		Domains:                    in.Domains,
		Metadata:                   typed.Origins(in.Origins),
		IncludeRequestAttemptCount: !in.NoAttempts,
	}
	if in.RedirectTLS {
		out.RequireTls = routev3.VirtualHost_ALL
	}
	for i := range in.Rules {
		r := in.Rules[i]
		if r.Retry == nil {
			r.Retry = in.Retry
		}
		out.Routes = append(out.Routes, rule(&r)...)
	}
	if in.TellHost {
		tellHost(out.Routes)
	}
	return out
}

// Alone is the route configuration of a host that gets all requests to an address.
func Alone(in *ir.VirtualHost) *routev3.RouteConfiguration {
	return &routev3.RouteConfiguration{
		Name:                           in.Key.RouteConfig,
		ValidateClusters:               wrapperspb.Bool(false),
		MaxDirectResponseBodySizeBytes: wrapperspb.UInt32(maxDirectBody),
		VirtualHosts:                   []*routev3.VirtualHost{VirtualHost(in)},
	}
}

// Inbound is the single route to an application's port.
func Inbound(port uint16) *routev3.RouteConfiguration {
	name := ir.InboundClusterName(port)
	return &routev3.RouteConfiguration{
		Name:             name,
		ValidateClusters: wrapperspb.Bool(false),
		VirtualHosts: []*routev3.VirtualHost{{
			Name:    name,
			Domains: []string{"*"},
			Routes: []*routev3.Route{{
				Name:   "default",
				Match:  everything(),
				Action: &routev3.Route_Route{Route: inboundAction(name)},
			}},
		}},
	}
}

// Rest is the host for all that no other host of a route configuration takes.
func Rest(in *ir.RouteConfig) *routev3.VirtualHost {
	out := &routev3.VirtualHost{
		Name:    ir.VirtualHostKey{RouteConfig: in.Name, Host: ir.HostRest}.Name(),
		Domains: []string{"*"},

		Metadata: typed.Origins(in.Unknown.Origins()),
	}
	switch {
	case in.Unknown.Refused:
		out.Routes = []*routev3.Route{{Name: "block_all", Match: everything(), Action: direct(&ir.Direct{Status: 502})}}
	case in.Unknown.Dynamic:
		out.Routes = []*routev3.Route{allowAny(toAddress(), in.Unknown.Cluster()), allowAny(everything(), ir.ClusterDynamic)}
		out.Routes[1].TypedPerFilterConfig = map[string]*anypb.Any{
			typed.FilterName: nameOnly, typed.FilterState: calledAt(in.Port),
		}
	default:
		out.Routes = []*routev3.Route{allowAny(everything(), in.Unknown.Cluster())}
	}
	return out
}

func allowAny(match *routev3.RouteMatch, cluster string) *routev3.Route {
	return &routev3.Route{Name: "allow_any", Match: match, Action: &routev3.Route_Route{Route: &routev3.RouteAction{
		ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: cluster},
		Timeout:          none(),
	}}}
}

// toAddress is requests for an address, of which there is nothing to resolve.
func toAddress() *routev3.RouteMatch {
	out := everything()
	out.Headers = []*routev3.HeaderMatcher{{
		Name: ":authority",
		HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{
			MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: `([0-9]{1,3}(\.[0-9]{1,3}){3}|\[.*\])(:[0-9]*)?`}},
		}},
	}}
	return out
}

// Unknown does for one host what Rest does for all. A proxy that asks for hosts
// must not hold Rest, because it asks only when no host fits.
func Unknown(rest *routev3.VirtualHost, k ir.VirtualHostKey) *routev3.VirtualHost {
	out := proto.CloneOf(rest)
	out.Name, out.Domains = k.Name(), []string{k.Host}
	return out
}

// None is a host that gets no requests. A listener waits for the first host of its
// route configuration, and a gateway may have no other, as a proxy that has asked for none yet.
func None(in *ir.RouteConfig) *routev3.VirtualHost {
	return &routev3.VirtualHost{
		Name:    ir.VirtualHostKey{RouteConfig: in.Name, Host: ir.HostNone}.Name(),
		Domains: []string{ir.HostNone},
		Routes:  []*routev3.Route{{Match: everything(), Action: direct(&ir.Direct{Status: 404})}},
	}
}

func direct(d *ir.Direct) *routev3.Route_DirectResponse {
	out := &routev3.DirectResponseAction{Status: d.Status}
	if d.Body != "" {
		out.Body = &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: d.Body}}
	}
	return &routev3.Route_DirectResponse{DirectResponse: out}
}
