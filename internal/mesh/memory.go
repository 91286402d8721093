// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"slices"
	"sync"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/notebook"
	"github.com/meshwright/meshwright/internal/xds"
)

// maxWorkloads bounds the workloads without proxies that are remembered.
const maxWorkloads = 10_000

// teacher is the hub, as far as it concerns what classes know.
type teacher interface {
	// Lessons is what a class knows now.
	Lessons(class string) []xds.Lesson
	// Learned is the classes that learned something since the last call.
	Learned() []string
	// Teach adds to what a class knows.
	Teach(class string, lessons []xds.Lesson)
	// Extant is those about what exists.
	Extant([]xds.Lesson) []xds.Lesson
}

// memory is what workloads have used, so that a new class of one begins with it:
// after a rollout that changed its labels, when it had no proxy for a while, or when
// another replica of the control plane served it. Streams and the notebook write it,
// the loop and the notebook read it.
type memory struct {
	hub teacher

	mu        sync.Mutex
	workloads map[notebook.Workload]*uses
	of        map[string]*uses // by class with proxies
	// changed are the workloads whose lessons were not handed to the notebook yet.
	changed map[notebook.Workload]struct{}
}

var _ notebook.Pupil = (*memory)(nil)

type uses struct {
	workload notebook.Workload
	classes  map[string]struct{} // with proxies
	lessons  []xds.Lesson        // of those that had some, and of other replicas
}

func newMemory(hub teacher) *memory {
	return &memory{
		hub:       hub,
		workloads: map[notebook.Workload]*uses{},
		of:        map[string]*uses{},
		changed:   map[notebook.Workload]struct{}{},
	}
}

func workloadOf(node *corev3.Node) (notebook.Workload, bool) {
	c, err := classOf(node)
	if err != nil || c.Role != ir.RoleSidecar || c.Workload == "" {
		return notebook.Workload{}, false
	}
	return notebook.Workload{Cluster: c.Cluster, Namespace: c.Namespace, Name: c.Workload}, true
}

// join notes that a class has its first proxy.
func (m *memory) join(class string, node *corev3.Node) {
	w, ok := workloadOf(node)
	if !ok {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.workload(w)
	u.classes[class] = struct{}{}
	m.of[class] = u
	// A class that had no proxies for a moment is still defined, and not reminded.
	m.hub.Teach(class, m.all(u, class))
}

// workload is what is known of one; the lock is held.
func (m *memory) workload(w notebook.Workload) *uses {
	u := m.workloads[w]
	if u == nil {
		u = &uses{workload: w, classes: map[string]struct{}{}}
		m.makeRoom()
		m.workloads[w] = u
	}
	return u
}

// makeRoom forgets a workload without proxies when there are many.
func (m *memory) makeRoom() {
	if len(m.workloads) < maxWorkloads {
		return
	}
	for w, u := range m.workloads {
		if len(u.classes) == 0 {
			delete(m.workloads, w)
			delete(m.changed, w)
			return
		}
	}
}

// leave keeps what a class knew that lost its last proxy.
func (m *memory) leave(class string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if u := m.of[class]; u != nil {
		delete(m.of, class)
		delete(u.classes, class)
		u.lessons = union(m.hub.Extant(u.lessons), m.hub.Lessons(class))
		m.changed[u.workload] = struct{}{}
	}
}

// lessons is what the workload of a class has used.
func (m *memory) lessons(class string) []xds.Lesson {
	m.mu.Lock()
	defer m.mu.Unlock()
	if u := m.of[class]; u != nil {
		return m.all(u, class)
	}
	return nil
}

// all is what a workload has used, but for what one class knows anyway.
func (m *memory) all(u *uses, but string) []xds.Lesson {
	out := u.lessons
	for class := range u.classes {
		if class != but {
			out = union(out, m.hub.Lessons(class))
		}
	}
	return out
}

// remind adds what their workloads have used to classes that are to learn.
func (m *memory) remind(classes []xds.Class) {
	for i := range classes {
		if s := classes[i].Scope; s != nil && s.Asks {
			s.Lessons = m.lessons(classes[i].Key)
		}
	}
}

// Learn takes what other replicas or earlier ones knew of workloads.
func (m *memory) Learn(kept map[notebook.Workload]notebook.Uses) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for w, k := range kept {
		u, lessons := m.workload(w), lessonsOf(k)
		u.lessons = union(u.lessons, lessons)
		for class := range u.classes {
			m.hub.Teach(class, lessons)
		}
	}
}

// Changed returns what workloads use that learned something since the last call.
func (m *memory) Changed() map[notebook.Workload]notebook.Uses {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, class := range m.hub.Learned() {
		if u := m.of[class]; u != nil {
			m.changed[u.workload] = struct{}{}
		}
	}
	out := make(map[notebook.Workload]notebook.Uses, len(m.changed))
	for w := range m.changed {
		out[w] = usesOf(m.all(m.workloads[w], ""))
	}
	clear(m.changed)
	return out
}

// Extant returns what of it exists.
func (m *memory) Extant(u notebook.Uses) notebook.Uses { return usesOf(m.hub.Extant(lessonsOf(u))) }

// HasProxies tells whether a workload has proxies of this replica.
func (m *memory) HasProxies(w notebook.Workload) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.workloads[w]
	return u != nil && len(u.classes) > 0
}

func lessonsOf(u notebook.Uses) []xds.Lesson {
	out := make([]xds.Lesson, 0, len(u.VirtualHosts)+len(u.Clusters))
	for _, name := range u.Clusters {
		out = append(out, xds.Lesson{Type: xds.ClusterType, Name: name})
	}
	for _, name := range u.VirtualHosts {
		out = append(out, xds.Lesson{Type: xds.VirtualHostType, Name: name})
	}
	return out
}

// usesOf keeps the order, which is that of the names within each type.
func usesOf(lessons []xds.Lesson) notebook.Uses {
	var out notebook.Uses
	for _, l := range lessons {
		switch l.Type {
		case xds.VirtualHostType:
			out.VirtualHosts = append(out.VirtualHosts, l.Name)
		case xds.ClusterType:
			out.Clusters = append(out.Clusters, l.Name)
		}
	}
	return out
}

// union is both, sorted, up to what one class may learn.
func union(a, b []xds.Lesson) []xds.Lesson {
	out := slices.Concat(a, b)
	slices.SortFunc(out, xds.Lesson.Compare)
	out = slices.Compact(out)
	return out[:min(len(out), xds.DefaultMaxLessons)]
}
