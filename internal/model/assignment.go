// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"slices"

	"github.com/meshwright/meshwright/internal/ir"
)

// Assign picks the endpoints of a cluster from all that serve its host.
func Assign(key ir.ClusterKey, portName string, subset ir.Labels, set *ir.EndpointSet) *ir.Assignment {
	out := &ir.Assignment{Cluster: key}
	if set == nil {
		return out
	}
	for i := range set.Backends {
		b := &set.Backends[i]
		port, ok := b.PortNumber(portName)
		if !ok || !b.Labels.Contains(subset) {
			continue
		}
		_, plain := slices.BinarySearch(b.Plain, port)
		add(out, b.Locality, ir.Endpoint{Addr: b.Addr, Port: port, TLS: b.TLS && !plain})
	}
	slices.SortFunc(out.Localities, func(a, b ir.LocalityEndpoints) int { return a.Locality.Compare(b.Locality) })
	for i := range out.Localities {
		l := &out.Localities[i]
		slices.SortFunc(l.Endpoints, func(a, b ir.Endpoint) int {
			return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Port, b.Port))
		})
		l.Endpoints = slices.CompactFunc(l.Endpoints, func(a, b ir.Endpoint) bool {
			return a.Addr == b.Addr && a.Port == b.Port
		})
	}
	return out
}

func add(a *ir.Assignment, where ir.Locality, e ir.Endpoint) {
	for i := range a.Localities {
		if a.Localities[i].Locality == where {
			a.Localities[i].Endpoints = append(a.Localities[i].Endpoints, e)
			return
		}
	}
	a.Localities = append(a.Localities, ir.LocalityEndpoints{Locality: where, Endpoints: []ir.Endpoint{e}})
}
