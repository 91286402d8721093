// SPDX-License-Identifier: Apache-2.0

package model

import (
	"slices"
	"strings"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// A pattern whose servers are found by the names that clients ask for has no servers of
// its own: the proxy resolves what it is asked for. So it must be asked for nothing but
// names of the pattern, whatever routes lead there, or anybody could have it call anywhere.

// calledAt is the port at which the names of such a pattern are called, 0 for every
// other host.
func calledAt(p ir.ServicePort) uint16 {
	if p.Entry == nil || p.Entry.Resolution != ir.ResolveDynamic {
		return 0
	}
	return p.Target
}

// dynamicPort is calledAt of the port of a cluster, as a namespace sees it.
func (m *Model) dynamicPort(c *graph.Ctx, namespace string, k ir.ClusterKey) uint16 {
	if !strings.HasPrefix(k.Host, "*") {
		return 0
	}
	h, ok := m.host(c, namespace, k.Host)
	if !ok {
		return 0
	}
	p, _ := h.Port(k.Port)
	return calledAt(p)
}

// strays tells whether a target would resolve names that are not of its pattern. No
// names are any name.
func strays(targets []ir.Target, names []string) bool {
	return slices.ContainsFunc(targets, func(t ir.Target) bool {
		return t.Dynamic != 0 && (len(names) == 0 || !coversAll(t.Cluster.Host, names))
	})
}

func coversAll(pattern string, names []string) bool {
	return !slices.ContainsFunc(names, func(n string) bool { return !covers(pattern, n) })
}

// isDynamic tells whether a destination is such a pattern.
func (m *Model) isDynamic(c *graph.Ctx, namespace string, d *ir.Destination) bool {
	if !strings.HasPrefix(d.Host, "*") {
		return false
	}
	h, ok := m.host(c, namespace, d.Host)
	return ok && slices.ContainsFunc(h.Ports, func(p ir.ServicePort) bool { return calledAt(p) != 0 })
}

// checkNames reports a destination that does not have all names that come to it.
func (m *Model) checkNames(c *graph.Ctx, origin ir.Origin, field string, d *ir.Destination, names []string) {
	if coversAll(d.Host, names) || !m.isDynamic(c, origin.Namespace, d) {
		return
	}
	c.Report(ir.Problem{
		Origin: origin, Condition: ir.Accepted, Reason: "Invalid", Field: field,
		Message: "the servers of " + d.Host + " are found by the name that a client asks for, which may be none of it; " +
			"what asks for another is refused: route nothing but names of " + d.Host + " to it",
	})
}
