// SPDX-License-Identifier: Apache-2.0

package proxyconfig

import (
	"fmt"
	"sync"

	"github.com/meshwright/meshwright/internal/ir"
)

// Store answers what the ProxyConfigs of the mesh say of a pod. It is safe for concurrent use.
type Store struct {
	defaults Settings
	root     string

	mu         sync.RWMutex
	namespaces map[string]*ir.ProxyDefaults
}

// NewStore begins with the mesh's defaults alone; root is the namespace whose ProxyConfig without a selector holds for all.
func NewStore(defaults Settings, root string) *Store {
	return &Store{defaults: defaults, root: root, namespaces: map[string]*ir.ProxyDefaults{}}
}

// Update takes what changed; nil is a namespace that has none any more.
func (s *Store) Update(changed map[string]*ir.ProxyDefaults) {
	if len(changed) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for namespace, d := range changed {
		if d == nil {
			delete(s.namespaces, namespace)
		} else {
			s.namespaces[namespace] = d
		}
	}
}

// For is what holds for a pod that says nothing itself. Of several ProxyConfigs that select it the oldest wins; a warning
// names the others.
func (s *Store) For(namespace string, labels map[string]string) (Settings, []string) {
	s.mu.RLock()
	mesh, own := s.namespaces[s.root], s.namespaces[namespace]
	s.mu.RUnlock()
	out := s.defaults
	if mesh != nil && mesh.Whole != nil && namespace != s.root {
		out = Of(mesh.Whole).Over(out)
	}
	if own == nil {
		return out, nil
	}
	if own.Whole != nil {
		out = Of(own.Whole).Over(out)
	}
	var winner *ir.ProxyConfig
	var warnings []string
	pod := ir.NewLabels(labels)
	for _, p := range own.Workloads {
		switch {
		case !pod.Contains(p.Selector):
		case winner == nil:
			winner = p
			out = Of(p).Over(out)
		default:
			warnings = append(warnings, fmt.Sprintf("%s selects this pod too, but %s is older and wins", p.Origin, winner.Origin))
		}
	}
	return out, warnings
}
