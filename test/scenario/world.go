// SPDX-License-Identifier: Apache-2.0

// Package scenario tells stories: objects are applied and deleted, classes of
// proxies connect, and after each step it is known what is sent, what users are
// told, and where calls go. There are no clocks and no streams.
package scenario

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/intake"
	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/mesh"
	"github.com/meshwright/meshwright/internal/projection"
	"github.com/meshwright/meshwright/internal/xds"
)

// World is a mesh that is edited step by step.
type World struct {
	engine    *mesh.Engine
	settings  *ir.Mesh
	staged    intake.Batch
	connected map[string]*ir.Class // staged
	rows      intake.Batch         // all that exist
	classes   map[string]*ir.Class
	sent      map[place]*xds.Resource
	scopes    map[string]*xds.Scope  // of classes
	layers    map[string][]xds.Layer // of classes
	projected map[ir.Origin][]ir.Problem
	derived   map[ir.Origin][]ir.Problem
}

type place struct{ layer, typ, name string }

// New is an empty mesh.
func New() *World {
	w := &World{
		settings: &ir.Mesh{
			TrustDomain: "cluster.local", RootNamespace: "istio-system", ClusterDomain: "cluster.local", ClusterID: scope.Cluster,
		},
		staged:    newBatch(),
		connected: map[string]*ir.Class{},
		rows:      newBatch(),
		classes:   map[string]*ir.Class{},
		projected: map[ir.Origin][]ir.Problem{},
	}
	w.start(graph.Check())
	return w
}

func (w *World) start(options ...graph.Option) {
	w.engine = mesh.NewEngine(0, options...)
	w.engine.SetMesh(w.settings)
	w.sent = map[place]*xds.Resource{}
	w.scopes, w.layers = map[string]*xds.Scope{}, map[string][]xds.Layer{}
	w.derived = map[ir.Origin][]ir.Problem{}
}

// Configure changes a mesh-wide setting: registryOnly, detect (protocols), ingress (all
// that have no class of somebody else), accessLogFile=FILE or discoveryScope=SCOPE.
func (w *World) Configure(setting string) error {
	next := *w.settings
	file, log := strings.CutPrefix(setting, "accessLogFile=")
	scope, scoped := strings.CutPrefix(setting, "discoveryScope=")
	switch {
	case scoped:
		var ok bool
		if next.DiscoveryScope, ok = ir.ParseDiscoveryScope(scope); !ok {
			return fmt.Errorf("mesh %q: there is no such scope", setting)
		}
	case setting == "ingress":
		next.Ingress = ir.IngressSettings{
			Mode: ir.IngressAll, Class: "istio", Selector: ir.NewLabels(map[string]string{"istio": "ingressgateway"}),
			Service: ir.ConfigKey{Namespace: "istio-system", Name: "istio-ingressgateway"},
		}
	case setting == "detect":
		next.Detection = ir.DefaultDetection
	case strings.HasPrefix(setting, "defaults="):
		said, err := projection.Mesh([]byte(strings.TrimPrefix(setting, "defaults=")), nil)
		if err != nil {
			return fmt.Errorf("mesh %q: %w", setting, err)
		}
		next.Clients, next.Near, next.NearByZones = said.Clients, said.Near, said.ByZones
	case setting == "registryOnly":
		next.RegistryOnly = true
	case setting == "dynamicDNS":
		next.DynamicDNS = true
	case log:
		next.AccessLogFile = file
	default:
		return fmt.Errorf("mesh %q is none of registryOnly, dynamicDNS, detect, defaults=JSON, accessLogFile=FILE, discoveryScope=SCOPE", setting)
	}
	w.settings = &next
	w.engine.SetMesh(w.settings)
	return nil
}

// Connect makes a class of proxies known from this step on.
func (w *World) Connect(name string, c *ir.Class) { w.connected[name] = c }

// Step brings everything up to date. It returns what was sent, sorted.
func (w *World) Step() ([]string, error) {
	out := w.engine.Step(w.staged, w.connected)
	for origin, status := range w.staged.Statuses {
		w.projected[origin] = status.Problems
	}
	merge(w.rows.Services, w.staged.Services)
	merge(w.rows.Slices, w.staged.Slices)
	merge(w.rows.Pods, w.staged.Pods)
	merge(w.rows.Nodes, w.staged.Nodes)
	merge(w.rows.Credentials, w.staged.Credentials)
	merge(w.rows.Ingresses, w.staged.Ingresses)
	merge(w.rows.IngressClasses, w.staged.IngressClasses)
	merge(w.rows.Routes, w.staged.Routes)
	merge(w.rows.Policies, w.staged.Policies)
	merge(w.rows.Gateways, w.staged.Gateways)
	merge(w.rows.ServiceEntries, w.staged.ServiceEntries)
	merge(w.rows.WorkloadEntries, w.staged.WorkloadEntries)
	merge(w.rows.WorkloadHealths, w.staged.WorkloadHealths)
	merge(w.rows.WorkloadGroups, w.staged.WorkloadGroups)
	merge(w.rows.Sidecars, w.staged.Sidecars)
	merge(w.rows.PeerAuthentications, w.staged.PeerAuthentications)
	merge(w.rows.RequestAuthentications, w.staged.RequestAuthentications)
	merge(w.rows.ProxyConfigs, w.staged.ProxyConfigs)
	merge(w.rows.Namespaces, w.staged.Namespaces)
	merge(w.classes, w.connected)
	w.staged, w.connected = newBatch(), map[string]*ir.Class{}
	return w.take(out)
}

func merge[K comparable, V any](all, changes map[K]*V) {
	for k, v := range changes {
		if v == nil {
			delete(all, k)
		} else {
			all[k] = v
		}
	}
}

func (w *World) take(out mesh.Outcome) ([]string, error) {
	for _, r := range out.Other {
		return nil, fmt.Errorf("table %s reports of input %v: %v", r.Table, r.Input, r.Problems)
	}
	var lines []string
	for _, p := range out.Publish.Set {
		at := place{string(p.Layer), p.Resource.Type, p.Resource.Name}
		if old := w.sent[at]; old != nil && old.Version == p.Resource.Version {
			return nil, fmt.Errorf("%v was sent again as it was", at)
		}
		w.sent[at] = p.Resource
		lines = append(lines, "set "+at.String())
	}
	for _, r := range out.Publish.Delete {
		at := place{string(r.Layer), r.Type, r.Name}
		if w.sent[at] == nil {
			return nil, fmt.Errorf("%v was removed and never set", at)
		}
		delete(w.sent, at)
		lines = append(lines, "remove "+at.String())
	}
	for _, class := range out.Publish.Classes {
		w.scopes[class.Key], w.layers[class.Key] = class.Scope, class.Layers
	}
	for object, problems := range out.Problems {
		w.derived[object] = problems
	}
	slices.Sort(lines)
	return lines, nil
}

func (p place) String() string {
	return p.layer + " " + p.typ[strings.LastIndexByte(p.typ, '.')+1:] + " " + p.name
}

// Problems is what users are told now, sorted.
func (w *World) Problems() []string {
	var all []ir.Problem
	for _, m := range []map[ir.Origin][]ir.Problem{w.projected, w.derived} {
		for _, problems := range m {
			all = append(all, problems...)
		}
	}
	slices.SortFunc(all, ir.Problem.Compare)
	out := make([]string, 0, len(all))
	for _, p := range all {
		severity := ""
		if p.Severity == ir.Warning {
			severity = " (warning)"
		}
		if p.Reason == projection.ReasonMalformed {
			p.Message = "cannot be read" // the rest is a decoder's own words
		}
		out = append(out, fmt.Sprintf("%s %s %s%s %s", p.Origin, p.Condition, p.Reason, severity, p))
	}
	return out
}

// State is each resource with its version, and each problem, sorted.
func (w *World) State() []string {
	out := w.Problems()
	for at, r := range w.sent {
		out = append(out, at.String()+" "+r.Version)
	}
	slices.Sort(out)
	return out
}

// Rebuilt is a mesh that learns everything that exists at once.
func (w *World) Rebuilt() (*World, error) {
	fresh := &World{settings: w.settings, projected: w.projected, classes: w.classes}
	fresh.start()
	_, err := fresh.take(fresh.engine.Step(w.rows, w.classes))
	return fresh, err
}

func newBatch() intake.Batch { return intake.NewInbox().Drain() }

// Resources is everything that is published, in no order.
func (w *World) Resources() []*xds.Resource { return slices.Collect(maps.Values(w.sent)) }
