// SPDX-License-Identifier: Apache-2.0

package model

import (
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
				if _, ok := graph.Get(c, m.Gateways.Table(), gw); !ok {
					c.Report(unresolved(r.Origin, "GatewayNotFound", "spec.gateways",
						"there is no Gateway "+gw.String()+"; create it or correct the name"))
				}
			}
			for i := range r.HTTP {
				m.checkRule(c, r, i)
			}
			if len(r.Gateways) == 0 {
				m.checkHosts(c, r)
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

// checkHosts warns of hosts that sidecars do not know. Such routes are right, and
// wait for their host.
func (m *Model) checkHosts(c *graph.Ctx, r *ir.Routes) {
	for _, host := range r.Hosts {
		if strings.HasPrefix(host, "*") {
			continue
		}
		if _, ok := m.host(c, r.Origin.Namespace, host); !ok {
			p := unresolved(r.Origin, "HostNotFound", "spec.hosts", noHost(host)+"; requests to it do not meet these routes until then")
			p.Severity = ir.Warning
			c.Report(p)
		}
	}
}

func (m *Model) checkRule(c *graph.Ctx, r *ir.Routes, rule int) {
	at := "spec.http[" + strconv.Itoa(rule) + "]"
	for j := range r.HTTP[rule].Destinations {
		m.checkDestination(c, r, rule, at+".route["+strconv.Itoa(j)+"].destination", &r.HTTP[rule].Destinations[j])
	}
	for j := range r.HTTP[rule].Mirrors {
		x := &r.HTTP[rule].Mirrors[j]
		m.checkDestination(c, r, rule, at+"."+x.Field, &x.To)
	}
}

func (m *Model) checkDestination(c *graph.Ctx, r *ir.Routes, rule int, field string, d *ir.Destination) {
	origin := r.HTTP[rule].Origin
	h, ok := m.host(c, r.Origin.Namespace, d.Host)
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
	if _, ok := m.subset(c, m.choiceFor(c, viewer{namespace: r.Origin.Namespace}, d.Host), d.Subset); !ok {
		c.Report(unresolved(origin, "SubsetNotFound", field+".subset",
			"no DestinationRule for "+d.Host+" has a subset "+d.Subset+"; add it to one"))
	}
}

func unresolved(o ir.Origin, reason, field, message string) ir.Problem {
	return ir.Problem{Origin: o, Condition: ir.ResolvedRefs, Reason: reason, Field: field, Message: message}
}

func noHost(host string) string {
	return "there is no Service " + host + "; create it or correct the name"
}
