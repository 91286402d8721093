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
	in := func(of tier, prefer *ir.Nearness) []ir.LocalityEndpoints {
		some := &ir.Assignment{}
		for i := range set.Backends {
			b := &set.Backends[i]
			port, ok := b.PortNumber(portName)
			if !ok || tierOf(b) != of || !b.Labels.Contains(subset) {
				continue
			}
			_, plain := slices.BinarySearch(b.Plain, port)
			add(some, placeFor(prefer, &who, b.Locality), priority(prefer, &who, b), ir.Endpoint{
				Addr: b.Addr, Also: b.Also, Name: b.Name, Port: port, TLS: b.TLS && !plain, Weight: b.Weight,
			})
		}
		return ordered(some.Localities)
	}
	used := ready
	for ; used < unready && len(out.Localities) == 0; used++ {
		out.Localities = in(used, near)
	}
	if near.Weighted() {
		out.Localities = weighPlaces(near, &who, out.Localities)
	}
	if sticky && used <= leaving && len(out.Localities) > 0 {
		out.Localities = append(out.Localities, behind(out.Localities, in(leaving, nil))...)
	}
	return out
}

// ordered sorts places by preference, and what is in each by address; nothing is there twice.
func ordered(places []ir.LocalityEndpoints) []ir.LocalityEndpoints {
	slices.SortFunc(places, func(a, b ir.LocalityEndpoints) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), a.Locality.Compare(b.Locality))
	})
	closeGaps(places)
	for i := range places {
		l := &places[i]
		slices.SortFunc(l.Endpoints, func(a, b ir.Endpoint) int {
			return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Port, b.Port))
		})
		l.Endpoints = slices.CompactFunc(l.Endpoints, sameSocket)
	}
	return places
}

func sameSocket(a, b ir.Endpoint) bool {
	return a.Addr == b.Addr && a.Name == b.Name && a.Port == b.Port
}

// behind makes of endpoints that are going away such as get the requests that name
// them and no others. They come after all others in the order of preference: among them they would count as
// failing, and requests would spill over to places that are farther away.
func behind(serving, going []ir.LocalityEndpoints) []ir.LocalityEndpoints {
	last := serving[len(serving)-1]
	var out []ir.LocalityEndpoints
	for _, l := range going {
		l.Endpoints = slices.DeleteFunc(l.Endpoints, func(e ir.Endpoint) bool {
			return slices.ContainsFunc(serving, func(s ir.LocalityEndpoints) bool {
				return slices.ContainsFunc(s.Endpoints, func(o ir.Endpoint) bool { return sameSocket(e, o) })
			})
		})
		if len(l.Endpoints) == 0 {
			continue
		}
		for i := range l.Endpoints {
			l.Endpoints[i].Leaving = true
		}
		l.Priority = last.Priority + 1
		if last.Weight > 0 {
			l.Weight = uint32(len(l.Endpoints))
		}
		out = append(out, l)
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
