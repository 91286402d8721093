// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/intake"
	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/xds"
	"github.com/meshwright/meshwright/test/simulate"
)

var seed = flag.Uint64("seed", 0, "run the random edits of this seed only")

// TestIncrementalEqualsRebuild edits a town at random, and compares what has grown
// with what is built from nothing: at once, and in pieces in any order.
func TestIncrementalEqualsRebuild(t *testing.T) {
	const seeds, steps, every = 6, 600, 25
	all := []uint64{*seed}
	if *seed == 0 {
		all = all[:0]
		for i := range uint64(seeds) {
			all = append(all, i+1)
		}
	}
	for _, s := range all {
		t.Run(fmt.Sprintf("seed=%d", s), func(t *testing.T) {
			t.Parallel()
			x := newChaos(s)
			grown := newHolder(graph.Check())
			seen := map[string]bool{}
			for i := range steps {
				e := x.step()
				// One object may change several times in a batch: the last state counts.
				for range x.r.IntN(3) {
					e = joined(e, x.step())
				}
				compared := i%every == every-1
				if compared {
					e = joined(e, x.fit(i/every%2 == 0))
				}
				grown.take(t, e.batch, e.classes)
				if !compared {
					continue
				}
				same(t, i, "at once", grown, x, func(h *holder) { h.take(t, x.rows, x.classes) })
				same(t, i, "in pieces", grown, x, func(h *holder) {
					for _, p := range pieces(x) {
						h.take(t, p.batch, p.classes)
					}
				})
				if t.Failed() {
					return
				}
				for key := range x.classes {
					p, err := simulate.New(grown.held(key))
					if err != nil {
						t.Fatalf("step %d: class %s: %v", i, key, err)
					}
					if dangling := p.Dangling(); len(dangling) > 0 {
						t.Fatalf("step %d: class %s: %q", i, key, dangling)
					}
				}
				for _, l := range grown.state() {
					words := strings.Fields(l)
					seen[words[0][:strings.IndexByte(words[0]+"/", '/')]+" "+words[1]] = true
				}
			}
			for _, what := range []string{
				"mesh Cluster", "mesh VirtualHost", "namespace Cluster", "namespace VirtualHost", "class Listener",
				"class VirtualHost", "class Cluster", "class Secret", "mesh TypedExtensionConfig", "class TypedExtensionConfig", "proxies apps",
				"class ClusterLoadAssignment", "mesh@west ClusterLoadAssignment", "mesh+ipv6 Listener",
			} {
				if !seen[what] {
					t.Errorf("the edits never made a %s", what)
				}
			}
		})
	}
}

func same(t *testing.T, step int, how string, grown *holder, x *chaos, build func(*holder)) {
	t.Helper()
	fresh := newHolder()
	build(fresh)
	want, got := fresh.state(), grown.state()
	for _, l := range want {
		if _, ok := slices.BinarySearch(got, l); !ok {
			t.Errorf("step %d: only when it is built %s: %s", step, how, l)
		}
	}
	for _, l := range got {
		if _, ok := slices.BinarySearch(want, l); !ok {
			t.Errorf("step %d: not when it is built %s: %s", step, how, l)
		}
	}
}

// holder is an engine and everything that it published.
type holder struct {
	engine   *Engine
	layers   map[place]*xds.Resource
	classes  map[string]string
	overlays map[string][]xds.Layer
	problems map[ir.Origin][]ir.Problem
	proxies  map[string]*ir.ProxyDefaults
	statuses map[ir.Origin]*ir.Allocated
}

type place struct {
	layer     xds.Layer
	typ, name string
}

func newHolder(options ...graph.Option) *holder {
	h := &holder{
		engine: NewEngine(0, options...), layers: map[place]*xds.Resource{}, classes: map[string]string{}, overlays: map[string][]xds.Layer{},
		problems: map[ir.Origin][]ir.Problem{}, proxies: map[string]*ir.ProxyDefaults{},
		statuses: map[ir.Origin]*ir.Allocated{},
	}
	h.engine.SetMesh(settings())
	return h
}

func (h *holder) take(t *testing.T, batch intake.Batch, classes map[string]*ir.Class) {
	t.Helper()
	out := h.engine.Step(batch, classes)
	for _, r := range out.Other {
		t.Fatalf("table %s reports of input %v: %v", r.Table, r.Input, r.Problems)
	}
	// Removals first: a resource may move from one table to another in one batch.
	for _, r := range out.Publish.Delete {
		delete(h.layers, place{r.Layer, r.Type, r.Name})
	}
	for _, p := range out.Publish.Set {
		h.layers[place{p.Layer, p.Resource.Type, p.Resource.Name}] = p.Resource
	}
	for _, key := range out.Publish.DropClasses {
		delete(h.classes, key)
	}
	for _, c := range out.Publish.Classes {
		h.classes[c.Key], h.overlays[c.Key] = fmt.Sprint(c.Layers, c.Scope), c.Layers
	}
	for object, problems := range out.Problems {
		h.problems[object] = problems
	}
	for object, got := range out.Allocated {
		if h.statuses[object] = got; got == nil {
			delete(h.statuses, object)
		}
	}
	for namespace, d := range out.Proxies {
		if h.proxies[namespace] = d; d == nil {
			delete(h.proxies, namespace)
		}
	}
}

func (h *holder) state() []string {
	var out []string
	for at, r := range h.layers {
		out = append(out, strings.Join([]string{string(at.layer), shortType(at.typ), at.name, r.Version}, " "))
	}
	for key, layers := range h.classes {
		out = append(out, "class "+key+" "+layers)
	}
	for namespace, d := range h.proxies {
		line := "proxies " + namespace
		if d.Whole != nil {
			line += " " + d.Whole.Origin.String()
		}
		for _, p := range d.Workloads {
			line += " " + p.Origin.String() + p.Selector.String()
		}
		out = append(out, line)
	}
	for object, got := range h.statuses {
		out = append(out, fmt.Sprint("status ", object, " ", got.Addresses))
	}
	for object, problems := range h.problems {
		for _, p := range problems {
			out = append(out, fmt.Sprintf("problem %s: %s %s %s %s", object, p.Origin, p.Condition, p.Reason, p))
		}
	}
	slices.Sort(out)
	return out
}

// held is what a proxy of a class has: a higher layer hides a lower one.
func (h *holder) held(key string) []simulate.Resource {
	seen := map[place]simulate.Resource{}
	for _, l := range h.overlays[key] {
		for at, r := range h.layers {
			if at.layer == l {
				seen[place{"", r.Type, r.Name}] = simulate.Resource{Type: r.Type, Name: r.Name, Body: r.Body}
			}
		}
	}
	return slices.Collect(maps.Values(seen))
}

func joined(a, b edit) edit {
	maps.Copy(a.batch.Services, b.batch.Services)
	maps.Copy(a.batch.Slices, b.batch.Slices)
	maps.Copy(a.batch.Pods, b.batch.Pods)
	maps.Copy(a.batch.Nodes, b.batch.Nodes)
	maps.Copy(a.batch.Routes, b.batch.Routes)
	maps.Copy(a.batch.Policies, b.batch.Policies)
	maps.Copy(a.batch.Gateways, b.batch.Gateways)
	maps.Copy(a.batch.ServiceEntries, b.batch.ServiceEntries)
	maps.Copy(a.batch.WorkloadEntries, b.batch.WorkloadEntries)
	maps.Copy(a.batch.WorkloadHealths, b.batch.WorkloadHealths)
	maps.Copy(a.batch.WorkloadGroups, b.batch.WorkloadGroups)
	maps.Copy(a.batch.Allocated, b.batch.Allocated)
	maps.Copy(a.batch.Ingresses, b.batch.Ingresses)
	maps.Copy(a.batch.IngressClasses, b.batch.IngressClasses)
	maps.Copy(a.batch.Sidecars, b.batch.Sidecars)
	maps.Copy(a.batch.PeerAuthentications, b.batch.PeerAuthentications)
	maps.Copy(a.batch.RequestAuthentications, b.batch.RequestAuthentications)
	maps.Copy(a.batch.ProxyConfigs, b.batch.ProxyConfigs)
	maps.Copy(a.batch.Credentials, b.batch.Credentials)
	maps.Copy(a.batch.Namespaces, b.batch.Namespaces)
	maps.Copy(a.classes, b.classes)
	return a
}

// pieces is all that exists, dealt at random into two batches.
func pieces(x *chaos) []edit {
	var out []edit
	for range 2 {
		out = append(out, edit{batch: everyTable(), classes: map[string]*ir.Class{}})
	}
	deal(x.r, x.rows.Services, out, func(e edit) map[ir.ObjectKey]*ir.Service { return e.batch.Services })
	deal(x.r, x.rows.Slices, out, func(e edit) map[ir.ObjectKey]*ir.EndpointSlice { return e.batch.Slices })
	deal(x.r, x.rows.Pods, out, func(e edit) map[ir.ObjectKey]*ir.Pod { return e.batch.Pods })
	deal(x.r, x.rows.Nodes, out, func(e edit) map[ir.NodeKey]*ir.Node { return e.batch.Nodes })
	deal(x.r, x.rows.Routes, out, func(e edit) map[ir.ConfigKey]*ir.Routes { return e.batch.Routes })
	deal(x.r, x.rows.Policies, out, func(e edit) map[ir.ConfigKey]*ir.TrafficPolicy { return e.batch.Policies })
	deal(x.r, x.rows.Gateways, out, func(e edit) map[ir.ConfigKey]*ir.Gateway { return e.batch.Gateways })
	deal(x.r, x.rows.ServiceEntries, out, func(e edit) map[ir.ConfigKey]*ir.ServiceEntry { return e.batch.ServiceEntries })
	deal(x.r, x.rows.WorkloadEntries, out, func(e edit) map[ir.ConfigKey]*ir.Workload { return e.batch.WorkloadEntries })
	deal(x.r, x.rows.WorkloadHealths, out, func(e edit) map[ir.ConfigKey]*ir.WorkloadHealth { return e.batch.WorkloadHealths })
	deal(x.r, x.rows.WorkloadGroups, out, func(e edit) map[ir.ConfigKey]*ir.WorkloadGroup { return e.batch.WorkloadGroups })
	deal(x.r, x.rows.Allocated, out, func(e edit) map[ir.ConfigKey]*ir.Allocated { return e.batch.Allocated })
	deal(x.r, x.rows.Ingresses, out, func(e edit) map[ir.ConfigKey]*ir.Ingress { return e.batch.Ingresses })
	deal(x.r, x.rows.IngressClasses, out, func(e edit) map[string]*ir.IngressClass { return e.batch.IngressClasses })
	deal(x.r, x.rows.Sidecars, out, func(e edit) map[ir.ConfigKey]*ir.Sidecar { return e.batch.Sidecars })
	deal(x.r, x.rows.PeerAuthentications, out, func(e edit) map[ir.ConfigKey]*ir.PeerAuthentication { return e.batch.PeerAuthentications })
	deal(x.r, x.rows.RequestAuthentications, out, func(e edit) map[ir.ConfigKey]*ir.RequestAuthentication {
		return e.batch.RequestAuthentications
	})
	deal(x.r, x.rows.ProxyConfigs, out, func(e edit) map[ir.ConfigKey]*ir.ProxyConfig { return e.batch.ProxyConfigs })
	deal(x.r, x.rows.Credentials, out, func(e edit) map[ir.ConfigKey]*ir.Credential { return e.batch.Credentials })
	deal(x.r, x.rows.Namespaces, out, func(e edit) map[string]*ir.Namespace { return e.batch.Namespaces })
	deal(x.r, x.classes, out, func(e edit) map[string]*ir.Class { return e.classes })
	return out
}

// deal puts each row into one of the piles.
func deal[K comparable, V any](r *rand.Rand, rows map[K]*V, piles []edit, of func(edit) map[K]*V) {
	keys := slices.SortedFunc(maps.Keys(rows), func(a, b K) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	for _, k := range keys {
		of(piles[r.IntN(len(piles))])[k] = rows[k]
	}
}
