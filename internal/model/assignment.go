// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"slices"

	"github.com/meshwright/meshwright/internal/ir"
)

// Assign picks the endpoints of a cluster from all that may serve its host: those
// that are ready, ordered by what a client prefers. While the cluster has none, those count whose node is silent, and
// else those that are going away: a request to a pod that may well serve beats none.
// Sticky clusters have those in any case, for the clients that stay with them.
func Assign(
	key ir.ClusterKey, portName string, subset ir.Labels, set *ir.EndpointSet, near *ir.Nearness, who Client, sticky bool,
) *ir.Assignment {
	out := &ir.Assignment{Cluster: key}
	if set == nil {
		return out
	}
	take := func(of tier, only bool) {
		for i := range set.Backends {
			b := &set.Backends[i]
			port, ok := b.PortNumber(portName)
			if !ok || tierOf(b) != of || !b.Labels.Contains(subset) {
				continue
			}
			_, plain := slices.BinarySearch(b.Plain, port)
			add(out, b.Locality, priority(near, &who, b), ir.Endpoint{
				Addr: b.Addr, Name: b.Name, Port: port, TLS: b.TLS && !plain, Weight: b.Weight, Leaving: only,
			})
		}
	}
	for _, of := range []tier{ready, presumed, leaving} {
		take(of, false)
		if len(out.Localities) == 0 {
			continue
		}
		if sticky && of != leaving {
			take(leaving, true)
		}
		break
	}
	slices.SortFunc(out.Localities, func(a, b ir.LocalityEndpoints) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), a.Locality.Compare(b.Locality))
	})
	closeGaps(out.Localities)
	for i := range out.Localities {
		l := &out.Localities[i]
		slices.SortFunc(l.Endpoints, func(a, b ir.Endpoint) int {
			return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Port, b.Port))
		})
		l.Endpoints = slices.CompactFunc(l.Endpoints, func(a, b ir.Endpoint) bool {
			return a.Addr == b.Addr && a.Name == b.Name && a.Port == b.Port
		})
	}
	if near.Weighted() {
		out.Localities = weighPlaces(near, &who, out.Localities)
	}
	return out
}

// tier says how much a backend is to be relied on; the least is the best.
type tier uint8

const (
	ready tier = iota
	presumed
	leaving
	unready // never sent to unless by its own address
)

func tierOf(b *ir.Backend) tier {
	switch {
	case b.Unready:
		return unready
	case b.Presumed:
		return presumed
	case b.Draining:
		return leaving
	}
	return ready
}

func add(a *ir.Assignment, where ir.Locality, priority uint32, e ir.Endpoint) {
	for i := range a.Localities {
		if a.Localities[i].Locality == where && a.Localities[i].Priority == priority {
			a.Localities[i].Endpoints = append(a.Localities[i].Endpoints, e)
			return
		}
	}
	a.Localities = append(a.Localities, ir.LocalityEndpoints{Locality: where, Priority: priority, Endpoints: []ir.Endpoint{e}})
}

// Meshed is an assignment, of a client without preferences, without the endpoints that
// do not end the mesh's TLS.
func Meshed(a *ir.Assignment) *ir.Assignment {
	out := &ir.Assignment{Cluster: a.Cluster}
	for _, l := range a.Localities {
		for _, e := range l.Endpoints {
			if e.TLS {
				add(out, l.Locality, 0, e)
			}
		}
	}
	return out
}
