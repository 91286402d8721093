// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"

	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/xds"
	"github.com/meshwright/meshwright/test/simulate"
)

type resourceName struct{ typ, name string }

// Proxy is a proxy of a class that has made no call yet. What its class does not
// start with, it asks for.
func (w *World) Proxy(name string) (*simulate.Proxy, error) {
	scope := w.scopes[name]
	all, err := w.seen(name, scope)
	if err != nil {
		return nil, err
	}
	held := maps.Clone(all)
	maps.DeleteFunc(held, func(_ resourceName, r *xds.Resource) bool { return r.Hidden || scope != nil && !beginsWith(scope, r) })
	if scope != nil && !scope.Asks {
		addNeeds(held, all)
	}
	p, err := simulate.New(simulated(held))
	if err == nil && scope != nil && scope.Asks {
		p.Ask = func(typ, name string) []simulate.Resource { return answer(all, typ, name) }
	}
	return p, err
}

// beginsWith tells whether a class with that scope sees a resource from the start.
func beginsWith(s *xds.Scope, r *xds.Resource) bool {
	switch {
	case r.Key == "" || s.Lists(r.Key, r.Part):
		return true
	case r.Key == xds.Rest:
		return !s.Asks
	}
	return r.Leads && s.Asks
}

// addNeeds adds the clusters that what is held needs.
func addNeeds(held, all map[resourceName]*xds.Resource) {
	for _, r := range slices.Collect(maps.Values(held)) {
		for _, cluster := range r.Needs {
			if c := all[resourceName{xds.ClusterType, cluster}]; c != nil {
				held[resourceName{xds.ClusterType, cluster}] = c
			}
		}
	}
}

// Whole is a proxy that holds everything that the layers of a class have.
func (w *World) Whole(name string) (*simulate.Proxy, error) {
	all, err := w.seen(name, nil)
	if err != nil {
		return nil, err
	}
	return simulate.New(simulated(all))
}

func (w *World) seen(name string, scope *xds.Scope) (map[resourceName]*xds.Resource, error) {
	_, ok := w.classes[name]
	if !ok {
		return nil, fmt.Errorf("no class %s is connected; there are %q", name, slices.Sorted(maps.Keys(w.classes)))
	}
	out := map[resourceName]*xds.Resource{}
	layers := w.layers[name]
	if scope != nil {
		layers = append(slices.Clone(layers), scope.Over)
	}
	for _, layer := range layers {
		for at, r := range w.sent {
			if at.layer == string(layer) {
				out[resourceName{r.Type, r.Name}] = r
			}
		}
	}
	return out, nil
}

func simulated(all map[resourceName]*xds.Resource) []simulate.Resource {
	var out []simulate.Resource
	for _, r := range all {
		out = append(out, simulate.Resource{Type: r.Type, Name: r.Name, Body: r.Body})
	}
	return out
}

// answer does what the sessions do: the host that has the asked name, or one that
// does what is done for all others, and the clusters that it needs.
func answer(all map[resourceName]*xds.Resource, typ, name string) []simulate.Resource {
	found := map[resourceName]*xds.Resource{}
	if typ == xds.ClusterType {
		if r := all[resourceName{typ, name}]; r != nil {
			found[resourceName{typ, name}] = r
		} else if _, err := netip.ParseAddrPort(name); err == nil {
			rest := *all[resourceName{typ, ir.ClusterUnknown}]
			rest.Name = name
			found[resourceName{typ, name}] = &rest
		}
		return simulated(found)
	}
	parent, host, _ := strings.Cut(name, "/")
	for at, r := range all {
		if typ == at.typ && (at.name == name || slices.Contains(r.Aliases, name)) {
			found[at] = r
			for _, cluster := range r.Needs {
				if c := all[resourceName{xds.ClusterType, cluster}]; c != nil {
					found[resourceName{xds.ClusterType, cluster}] = c
				}
			}
		}
	}
	rest := all[resourceName{typ, parent + "/" + xds.Rest}]
	if len(found) > 0 || rest == nil {
		return simulated(found)
	}
	var unknown routev3.VirtualHost
	if err := proto.Unmarshal(rest.Body, &unknown); err != nil {
		return nil
	}
	unknown.Name, unknown.Domains = name, []string{host}
	body, err := proto.Marshal(&unknown)
	if err != nil {
		return nil
	}
	return []simulate.Resource{{Type: typ, Name: name, Body: body}}
}
