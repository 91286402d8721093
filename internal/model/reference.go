// SPDX-License-Identifier: Apache-2.0

package model

import (
	"slices"
	"strconv"
	"strings"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// deriveReferences checks what objects name. These tables have no rows, only
// reports: what is sent to the proxies does not depend on them.
func (m *Model) deriveReferences(g *graph.Graph) {
	graph.Derive(g, "routeReferences", m.Routes.Table(), One.Compare,
		func(c *graph.Ctx, _ ir.ConfigKey, r *ir.Routes, _ func(One, struct{})) {
			for _, gw := range r.Gateways {
				row, ok := graph.Get(c, m.Gateways.Table(), gw)
				if !ok {
					c.Report(unresolved(r.Origin, "GatewayNotFound", "spec.gateways",
						"there is no Gateway "+gw.String()+"; create it or correct the name"))
					continue
				}
				checkBinding(c, r, gw, row)
				checkServers(c, r, gw, row)
			}
			if len(r.Hosts) == 0 {
				m.checkDelegated(c, r)
			}
			for i := range r.HTTP {
				m.checkRule(c, r, i)
			}
			m.checkStreamRules(c, "tls", r.TLS)
			m.checkStreamRules(c, "tcp", r.TCP)
			if len(r.Gateways) == 0 {
				m.checkHosts(c, r)
			}
		})
	graph.Derive(g, "sidecarReferences", m.Sidecars.Table(), One.Compare,
		func(c *graph.Ctx, _ ir.ConfigKey, s *ir.Sidecar, _ func(One, struct{})) {
			if s.Unknown != nil && s.Unknown.IsProxied() {
				to := s.Unknown.Proxy
				m.checkDestination(c, s.Origin, "spec.outboundTrafficPolicy.egressProxy", &ir.Destination{Host: to.Host, Port: to.Port, Subset: to.Subset})
			}
		})
	graph.Derive(g, "policyReferences", m.Policies.Table(), One.Compare,
		func(c *graph.Ctx, _ ir.ConfigKey, p *ir.TrafficPolicy, _ func(One, struct{})) {
			if strings.HasPrefix(p.Host, "*") {
				return
			}
			if _, ok := m.host(c, p.Origin.Namespace, p.Host); !ok {
				c.Report(unresolved(p.Origin, "HostNotFound", "spec.host", noHost(p.Host)))
			}
		})
}

// checkBinding warns of hosts that no server of a gateway has: there, no request
// meets their routes.
func checkBinding(c *graph.Ctx, r *ir.Routes, key ir.ConfigKey, gw *ir.Gateway) {
	for _, host := range r.Hosts {
		bound := slices.ContainsFunc(gw.Servers, func(s ir.Server) bool {
			return slices.ContainsFunc(s.Hosts, func(h ir.ServerHost) bool { return takes(h, key.Namespace, r.Origin.Namespace, host) })
		})
		if !bound {
			p := unresolved(r.Origin, "HostNotServed", "spec.hosts",
				"no server of Gateway "+key.String()+" has the host "+host+" for namespace "+r.Origin.Namespace+
					"; add it to a server or correct the name; until then requests there do not meet these routes")
			p.Severity = ir.Warning
			c.Report(p)
		}
	}
}

// takes tells whether a server's host, in a gateway of a namespace, overlaps with a
// host of routes of another namespace.
func takes(h ir.ServerHost, gateway, namespace, host string) bool {
	if h.Namespace != "*" && h.Namespace != namespace && (h.Namespace != "." || gateway != namespace) {
		return false
	}
	return covers(h.Host, host) || covers(host, h.Host)
}

// checkHosts warns of hosts that sidecars do not know. Such routes are right, and
// wait for their host.
func (m *Model) checkHosts(c *graph.Ctx, r *ir.Routes) {
	for _, host := range r.Hosts {
		if strings.HasPrefix(host, "*") {
			continue
		}
		if _, ok := m.host(c, r.Origin.Namespace, host); !ok {
			until := "requests to it do not meet these routes until then"
			if has(c, m.strays, host) {
				until = "until then only requests on port 80 meet these routes"
			}
			p := unresolved(r.Origin, "HostNotFound", "spec.hosts", noHost(host)+"; "+until)
			p.Severity = ir.Warning
			c.Report(p)
		}
	}
}

func (m *Model) checkRule(c *graph.Ctx, r *ir.Routes, rule int) {
	at, origin := "spec."+r.HTTP[rule].Origin.Section, r.HTTP[rule].Origin
	for j := range r.HTTP[rule].Destinations {
		m.checkDestination(c, origin, at+".route["+strconv.Itoa(j)+"].destination", &r.HTTP[rule].Destinations[j])
		m.checkNames(c, origin, at+".route["+strconv.Itoa(j)+"].destination.host", &r.HTTP[rule].Destinations[j], r.Hosts)
	}
	for j := range r.HTTP[rule].Mirrors {
		x := &r.HTTP[rule].Mirrors[j]
		m.checkDestination(c, origin, at+"."+x.Field, &x.To)
		if m.isDynamic(c, origin.Namespace, &x.To) {
			c.Report(ir.Problem{Origin: origin, Condition: ir.Accepted, Reason: "Invalid", Field: at + "." + x.Field + ".host", Message: "the servers of " +
				x.To.Host + " are found by the name that a client asks for, and it asked for another; nothing is copied: name one host"})
		}
	}
}

func (m *Model) checkStreamRules(c *graph.Ctx, list string, rules []ir.StreamRule) {
	for i := range rules {
		for j := range rules[i].Destinations {
			at := "spec." + list + "[" + strconv.Itoa(i) + "].route[" + strconv.Itoa(j) + "].destination"
			m.checkDestination(c, rules[i].Origin, at, &rules[i].Destinations[j])
		}
	}
}

// checkDestination reports what a destination names and is not there.
func (m *Model) checkDestination(c *graph.Ctx, origin ir.Origin, field string, d *ir.Destination) {
	h, ok := m.host(c, origin.Namespace, d.Host)
	if !ok {
		c.Report(unresolved(origin, "HostNotFound", field+".host", noHost(d.Host)))
		return
	}
	if _, ok := h.Port(d.Port); d.Port != 0 && !ok {
		c.Report(unresolved(origin, "PortNotFound", field+".port",
			d.Host+" has no port "+strconv.Itoa(int(d.Port))+"; use one of its Service's ports"))
	}
	if d.Subset == "" {
		return
	}
	if _, ok := m.subset(c, m.choiceFor(c, viewer{namespace: origin.Namespace}, d.Host), d.Subset); !ok {
		c.Report(unresolved(origin, "SubsetNotFound", field+".subset",
			"no DestinationRule for "+d.Host+" has a subset "+d.Subset+"; add it to one"))
	}
}

// CheckSubset warns of a subset that no endpoint of its host belongs to. It is asked
// where endpoints are assigned, so that endpoints wake nothing else.
func (m *Model) CheckSubset(c *graph.Ctx, key ir.ClusterKey, t *Target, set *ir.EndpointSet) {
	if len(t.Subset) == 0 || set == nil || len(set.Backends) == 0 {
		return
	}
	for i := range set.Backends {
		if set.Backends[i].Labels.Contains(t.Subset) {
			return
		}
	}
	for _, policy := range m.policies(c, t.Choice) {
		if _, has := policy.Subset(key.Subset); !has {
			continue
		}
		p := unresolved(policy.Origin, "SubsetEmpty", "spec.subsets",
			"no endpoint of "+key.Host+" has the labels "+t.Subset.String()+" of subset "+key.Subset+"; requests to it get 503 until one has")
		p.Severity = ir.Warning
		c.Report(p)
	}
}

func unresolved(o ir.Origin, reason, field, message string) ir.Problem {
	return ir.Problem{Origin: o, Condition: ir.ResolvedRefs, Reason: reason, Field: field, Message: message}
}

func noHost(host string) string {
	return "there is no Service or ServiceEntry for " + host + "; create it, export it here or correct the name"
}
