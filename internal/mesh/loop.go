// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"context"
	"fmt"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/go-logr/logr"

	"github.com/meshwright/meshwright/internal/intake"
	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/notebook"
	"github.com/meshwright/meshwright/internal/xds"
)

// Intake is where changes of the cluster come from.
type Intake interface {
	// Synced is closed when everything that existed at the start was handed over.
	Synced() <-chan struct{}
	// Wake receives when there is something to drain.
	Wake() <-chan struct{}
	// Drain takes all that changed, the last state of each object.
	Drain() intake.Batch
}

// Status is who tells users about their objects.
type Status interface {
	Projected(map[ir.Origin]intake.ConfigStatus)
	Problems(map[ir.Origin][]ir.Problem)
	Rejected(origin ir.Origin, resource, proxy, message string)
	Superseded(resources ...string)
	Moved(objects []ir.Origin)
	// Allocated takes the addresses of hosts, nil when an object's hosts have none any
	// more. It belongs to the commit whose Problems call follows.
	Allocated(map[ir.Origin]*ir.Allocated)
}

// Proxies is who injects proxies into pods.
type Proxies interface {
	// Update takes what changed of a namespace's defaults; nil is a namespace without any.
	Update(changed map[string]*ir.ProxyDefaults)
}

// Machines registers the machines outside of Kubernetes.
type Machines interface {
	// Update takes what changed of the WorkloadGroups; nil is one that is gone. It is
	// called with nothing, too, once all were read.
	Update(changed map[ir.ConfigKey]*ir.WorkloadGroup)
	// Guest admits the stream of a machine, whose identity was checked.
	Guest(node *corev3.Node) (xds.Guest, error)
}

// Notebook keeps what workloads use.
type Notebook interface {
	// Run teaches what was kept and keeps what is new, until the context ends.
	Run(context.Context, notebook.Pupil)
	// Synced is closed when what was kept was taught.
	Synced() <-chan struct{}
}

// Options say how a mesh runs.
type Options struct {
	Intake   Intake
	Status   Status
	Proxies  Proxies  // nil: nobody injects
	Machines Machines // nil: machines do not register
	Notebook Notebook // nil: what workloads use is forgotten with the process
	Settings *ir.Mesh // fixed for the life of the process
	Workers  int      // evaluations side by side; below 2: none
	Log      logr.Logger
}

// Mesh is a running control plane.
type Mesh struct {
	options    Options
	engine     *Engine
	hub        *xds.Hub
	population *population
	memory     *memory
	ready      chan struct{}
}

// New wires a mesh; Run starts it.
func New(options Options) (*Mesh, error) {
	m := &Mesh{
		options:    options,
		engine:     NewEngine(options.Workers),
		population: newPopulation(),
		ready:      make(chan struct{}),
	}
	trustDomain := options.Settings.TrustDomain
	hub, err := xds.NewHub(xds.Options{
		Classify: func(node *corev3.Node, peer xds.Peer) (string, error) {
			return classify(trustDomain, m.population.where, node, peer)
		},
		Guest:     m.guest,
		Unknown:   unknown,
		NoCluster: func(name string) []byte { return noCluster(options.Settings, name) },
		Events:    events{m, options.Status, options.Log},
		Log:       options.Log.WithName("xds"),
	})
	if err != nil {
		return nil, err
	}
	m.hub, m.memory = hub, newMemory(hub)
	return m, nil
}

// Hub is what serves the proxies; register it with a gRPC server.
func (m *Mesh) Hub() *xds.Hub { return m.hub }

// Ready is closed once proxies can be served.
func (m *Mesh) Ready() <-chan struct{} { return m.ready }

// Run commits changes until the context ends. It is self-clocking: idle, it
// commits a change at once; while a commit runs, changes merge by key, so that
// the next batch is as large as this one was slow.
//
// Nothing is published before the whole cluster was read, so that a proxy that
// reconnects to a new replica is never told that something is gone which the
// replica has just not read yet.
func (m *Mesh) Run(ctx context.Context) error {
	select {
	case <-m.options.Intake.Synced():
	case <-ctx.Done():
		return nil
	}
	m.engine.SetMesh(m.options.Settings)
	m.step()
	defer m.recall(ctx)()
	close(m.ready)
	go m.follow(ctx)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-m.options.Intake.Wake():
		case <-m.population.wake:
		}
		m.step()
	}
}

// recall waits for what workloads used before, so that their proxies begin with it,
// and returns what waits until all was kept that is new. What exists is published by
// then: the notebook forgets what does not.
func (m *Mesh) recall(ctx context.Context) (kept func()) {
	if m.options.Notebook == nil {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.options.Notebook.Run(ctx, m.memory)
	}()
	select {
	case <-m.options.Notebook.Synced():
	case <-ctx.Done():
	}
	return func() { <-done }
}

func (m *Mesh) step() {
	started := time.Now()
	batch := m.options.Intake.Drain()
	m.population.where.learn(&batch)
	out := m.engine.Step(batch, m.population.take())
	m.memory.remind(out.Publish.Classes)
	m.hub.Publish(out.Publish)
	if m.options.Machines != nil {
		m.options.Machines.Update(batch.WorkloadGroups)
	}
	if m.options.Proxies != nil {
		m.options.Proxies.Update(out.Proxies)
	}
	m.options.Status.Superseded(names(&out.Publish)...)
	m.options.Status.Projected(batch.Statuses)
	m.options.Status.Allocated(out.Allocated)
	m.options.Status.Problems(out.Problems)
	observe(&out, time.Since(started))
	for _, r := range out.Other {
		if len(r.Problems) > 0 {
			m.options.Log.Error(fmt.Errorf("%v", r.Problems[0]), "A row keeps its last good state", "table", r.Table, "input", r.Input)
		}
	}
}

// names is what a batch replaces or removes: what a proxy said of it is over.
func names(b *xds.Batch) []string {
	out := make([]string, 0, len(b.Set)+len(b.Delete))
	for _, p := range b.Set {
		out = append(out, p.Resource.Name)
	}
	for _, r := range b.Delete {
		out = append(out, r.Name)
	}
	return out
}

// events hands what the sessions say to who wants it.
type events struct {
	mesh   *Mesh
	status Status
	log    logr.Logger
}

// ClassWanted notes that a class has its first proxy.
func (e events) ClassWanted(key string, node *corev3.Node) {
	e.mesh.memory.join(key, node)
	e.mesh.population.ClassWanted(key, node)
}

// ClassIdle notes that a class has lost its last proxy.
func (e events) ClassIdle(key string) {
	e.mesh.memory.leave(key)
	e.mesh.population.ClassIdle(key)
}

// Rejected tells the owners of a resource that a proxy refused it.
func (e events) Rejected(n xds.NACK) {
	e.log.Info("A proxy refused a resource", "type", n.Type, "resource", n.Name, "node", n.NodeID, "message", n.Message)
	rejections.WithLabelValues(shortType(n.Type)).Inc()
	for _, text := range n.Origins {
		if o, ok := ir.ParseOrigin(text); ok {
			e.status.Rejected(o, n.Name, n.NodeID, n.Message)
		}
	}
}
