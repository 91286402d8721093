// SPDX-License-Identifier: Apache-2.0

// Package mesh wires the control plane together: what intake reads goes through
// the engine's tables to the sessions, and what the tables have to say goes to
// status. It is the only package that sees all of them.
package mesh

import (
	"slices"
	"strconv"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/intake"
	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/model"
	"github.com/meshwright/meshwright/internal/resource"
	"github.com/meshwright/meshwright/internal/xds"
)

// Engine is the tables and what they said last. One goroutine owns it.
type Engine struct {
	graph     *graph.Graph
	model     *model.Model
	resources *resource.Set
	reports   *reports
}

// Outcome is what one step did.
type Outcome struct {
	Commit   graph.Result
	Publish  xds.Batch
	Proxies  map[string]*ir.ProxyDefaults // by namespace; nil: there are none any more
	Problems map[ir.Origin][]ir.Problem   // all problems of each object about which something changed

	// Allocated is the addresses that the hosts of ServiceEntries have of the mesh, and
	// those at which Ingresses are found, of
	// each object about which something changed; nil: none any more.
	Allocated map[ir.Origin]*ir.Allocated

	Other []graph.Report // panics and what else is about no object
}

// NewEngine builds the tables. Up to workers evaluations of one table run side
// by side; below 2, none do.
func NewEngine(workers int, options ...graph.Option) *Engine {
	g := graph.New(append(options, graph.Workers(workers))...)
	m := model.New(g)
	return &Engine{graph: g, model: m, resources: resource.New(g, m), reports: newReports()}
}

// SetMesh stages the mesh-wide settings.
func (e *Engine) SetMesh(m *ir.Mesh) { e.model.Mesh.Set(model.One{}, m) }

// Step makes everything that changed visible at once and brings the tables up
// to date.
func (e *Engine) Step(batch intake.Batch, classes map[string]*ir.Class) Outcome {
	e.stage(batch)
	stage(e.model.Classes, classes)
	out := Outcome{Commit: e.graph.Commit()}
	for _, t := range e.resources.Tables {
		publish(&out.Publish, t)
	}
	e.publishClasses(&out.Publish)
	out.Proxies = e.model.ProxyChanges()
	out.Allocated = e.allocated()
	out.Problems, out.Other = e.reports.update(e.graph.Reports())
	return out
}

func (e *Engine) allocated() map[ir.Origin]*ir.Allocated {
	out := map[ir.Origin]*ir.Allocated{}
	add := func(kind string, t *graph.Table[ir.ConfigKey, *ir.Allocated]) {
		for _, ch := range t.Changes() {
			origin := ir.Origin{Kind: kind, Namespace: ch.Key.Namespace, Name: ch.Key.Name}
			if ch.Kind == graph.Deleted {
				out[origin] = nil
			} else {
				out[origin] = ch.New
			}
		}
	}
	add("ServiceEntry", e.model.Allocations)
	add("Ingress", e.model.IngressPoints)
	return out
}

// publishClasses hands on what each class sees. A class has a scope as soon as
// the mesh has settings, and no layer holds anything before.
func (e *Engine) publishClasses(b *xds.Batch) {
	for _, ch := range e.model.Scopes.Changes() {
		if ch.Kind == graph.Deleted {
			b.DropClasses = append(b.DropClasses, ch.Key)
			continue
		}
		class := xds.Class{Key: ch.Key}
		for _, l := range ch.New.Layers {
			class.Layers = append(class.Layers, xds.Layer(l))
		}
		if !ch.New.Full {
			class.Scope = scopeOf(ch.New)
		}
		b.Classes = append(b.Classes, class)
	}
}

// scopeOf is the scope of a class that is not told everything.
func scopeOf(in *ir.Scope) *xds.Scope {
	out := &xds.Scope{Keys: in.Told.Hosts, All: in.Told.All, Asks: in.Asks}
	for _, p := range in.Ports {
		out.Parts = append(out.Parts, xds.Part{Name: strconv.Itoa(int(p.Port)), All: p.All, Keys: p.Hosts})
	}
	if in.Asks {
		out.Over = xds.Layer(ir.LayerAsking)
	}
	return out
}

func (e *Engine) stage(b intake.Batch) {
	stage(e.model.Services, b.Services)
	stage(e.model.Slices, b.Slices)
	stage(e.model.Pods, b.Pods)
	stage(e.model.Nodes, b.Nodes)
	stage(e.model.Credentials, b.Credentials)
	stage(e.model.Routes, b.Routes)
	stage(e.model.Policies, b.Policies)
	stage(e.model.Gateways, b.Gateways)
	stage(e.model.Ingresses, b.Ingresses)
	stage(e.model.IngressClasses, b.IngressClasses)
	stage(e.model.Namespaces, b.Namespaces)
	stage(e.model.ServiceEntries, b.ServiceEntries)
	stage(e.model.WorkloadEntries, b.WorkloadEntries)
	stage(e.model.WorkloadHealths, b.WorkloadHealths)
	stage(e.model.WorkloadGroups, b.WorkloadGroups)
	stage(e.model.Remembered, b.Allocated)
	stage(e.model.Sidecars, b.Sidecars)
	stage(e.model.PeerAuths, b.PeerAuthentications)
	stage(e.model.RequestAuths, b.RequestAuthentications)
	stage(e.model.ProxyConfigs, b.ProxyConfigs)
}

// stage writes rows into a source; a nil row is a removal.
func stage[K comparable, V any](s *graph.Source[K, *V], rows map[K]*V) {
	for k, v := range rows {
		if v == nil {
			s.Delete(k)
		} else {
			s.Set(k, v)
		}
	}
}

func publish(b *xds.Batch, t *resource.Table) {
	for _, ch := range t.Changes() {
		if ch.Kind == graph.Deleted {
			b.Delete = append(b.Delete, xds.Removal{Layer: xds.Layer(ch.Key.Layer), Type: ch.Key.Type, Name: ch.Key.Name})
			continue
		}
		b.Set = append(b.Set, xds.Placement{Layer: xds.Layer(ch.Key.Layer), Resource: served(ch.New)})
	}
}

func served(r *resource.Resource) *xds.Resource {
	out := &xds.Resource{Type: r.Type, Name: r.Name, Version: r.Version, Body: r.Body, EDS: r.EDS, Key: r.Host, Part: r.Part, Leads: r.Leads, Hidden: r.Hidden, Needs: r.Needs, Aliases: r.Aliases}
	for _, o := range r.Origins {
		out.Origins = append(out.Origins, o.String())
		if owner := o.Object().String(); !slices.Contains(out.Owners, owner) {
			out.Owners = append(out.Owners, owner)
		}
	}
	return out
}
