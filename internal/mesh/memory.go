// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/xds"
)

// maxWorkloads bounds the workloads without proxies that are remembered.
const maxWorkloads = 10_000

// memory is what workloads have used, so that a new class of one begins with it:
// after a rollout that changed its labels, or when it had no proxy for a while.
// Streams write it, the loop reads it.
type memory struct {
	learned func(class string) []xds.Lesson // what a class knows now

	mu        sync.Mutex
	workloads map[workload]*uses
	of        map[string]*uses // by class with proxies
}

type workload struct{ cluster, namespace, name string }

type uses struct {
	classes map[string]struct{} // with proxies
	lessons []xds.Lesson        // of those that had some
}

func newMemory(learned func(string) []xds.Lesson) *memory {
	return &memory{learned: learned, workloads: map[workload]*uses{}, of: map[string]*uses{}}
}

func workloadOf(node *corev3.Node) (workload, bool) {
	c, err := classOf(node)
	if err != nil || c.Role != ir.RoleSidecar || c.Workload == "" {
		return workload{}, false
	}
	return workload{c.Cluster, c.Namespace, c.Workload}, true
}

// join notes that a class has its first proxy.
func (m *memory) join(class string, node *corev3.Node) {
	w, ok := workloadOf(node)
	if !ok {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.workloads[w]
	if u == nil {
		u = &uses{classes: map[string]struct{}{}}
		m.makeRoom()
		m.workloads[w] = u
	}
	u.classes[class] = struct{}{}
	m.of[class] = u
}

// makeRoom forgets a workload without proxies when there are many.
func (m *memory) makeRoom() {
	if len(m.workloads) < maxWorkloads {
		return
	}
	for w, u := range m.workloads {
		if len(u.classes) == 0 {
			delete(m.workloads, w)
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
		u.lessons = union(u.lessons, m.learned(class))
	}
}

// lessons is what the workload of a class has used.
func (m *memory) lessons(class string) []xds.Lesson {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.of[class]
	if u == nil {
		return nil
	}
	out := u.lessons
	for other := range u.classes {
		if other != class {
			out = union(out, m.learned(other))
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

// union is both, sorted, up to what one class may learn.
func union(a, b []xds.Lesson) []xds.Lesson {
	out := append(slices.Clone(a), b...)
	slices.SortFunc(out, func(a, b xds.Lesson) int {
		return cmp.Or(strings.Compare(a.Type, b.Type), strings.Compare(a.Name, b.Name))
	})
	out = slices.Compact(out)
	return out[:min(len(out), xds.DefaultMaxLessons)]
}
