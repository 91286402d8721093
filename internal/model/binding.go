// SPDX-License-Identifier: Apache-2.0

package model

import (
	"slices"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// checkServers reports rules for bytes that no server of a gateway is for.
func checkServers(c *graph.Ctx, r *ir.Routes, key ir.ConfigKey, gw *ir.Gateway) {
	for _, list := range []struct {
		name, server string
		holds        bool
		takes        func(*ir.Server) bool
	}{
		{"tls", "a server of protocol TLS or HTTPS with tls.mode PASSTHROUGH", holdsOn(r.TLS, key), passesThrough},
		{"tcp", "a server of protocol TCP, or one of protocol TLS at which TLS ends", holdsOn(r.TCP, key), takesBytes},
	} {
		fits := func(s ir.Server) bool {
			return list.takes(&s) && len(served(&GatewayServer{Gateway: key, Server: s}, r)) > 0
		}
		if list.holds && !slices.ContainsFunc(gw.Servers, fits) {
			p := unresolved(r.Origin, "NoMatchingServer", "spec."+list.name,
				"Gateway "+key.String()+" has no server for these routes with a host of this object; add "+list.server)
			if r.Mesh || len(r.Gateways) > 1 {
				p.Severity = ir.Warning // they may have an effect elsewhere
			}
			c.Report(p)
		}
	}
}

// holdsOn tells whether some rule can hold on a gateway.
func holdsOn(rules []ir.StreamRule, gateway ir.ConfigKey) bool {
	return slices.ContainsFunc(rules, func(r ir.StreamRule) bool {
		return len(r.Matches) == 0 ||
			slices.ContainsFunc(r.Matches, func(x ir.StreamMatch) bool { return x.OnGateway(gateway) })
	})
}

func passesThrough(s *ir.Server) bool { return s.TLS != nil && s.TLS.Mode == ir.ServerPassthrough }

func takesBytes(s *ir.Server) bool { return !s.IsHTTP() && (s.TLS == nil || s.TLS.Mode.Terminates()) }
