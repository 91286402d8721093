// SPDX-License-Identifier: Apache-2.0

package helm

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// memoSize bounds what is remembered: more renderings than a few meshes with
// their gateways have.
const memoSize = 128

// memo remembers renderings, because a reconcile that finds nothing to do
// should not render a thousand lines to learn that.
type memo struct {
	mu      sync.Mutex
	entries map[[sha256.Size]byte][]*unstructured.Unstructured
}

func memoKey(r Release, kubeVersion string) ([sha256.Size]byte, error) {
	data, err := json.Marshal([]any{r.Chart, r.Name, r.Namespace, r.Values, kubeVersion})
	if err != nil {
		return [sha256.Size]byte{}, &ValuesError{Chart: r.Chart, Err: fmt.Errorf("not JSON: %w", err)}
	}
	return sha256.Sum256(data), nil
}

func (m *memo) get(key [sha256.Size]byte) ([]*unstructured.Unstructured, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	kept, ok := m.entries[key]
	return copies(kept), ok
}

func (m *memo) put(key [sha256.Size]byte, objects []*unstructured.Unstructured) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.entries == nil || len(m.entries) >= memoSize {
		m.entries = make(map[[sha256.Size]byte][]*unstructured.Unstructured)
	}
	m.entries[key] = copies(objects)
}

func copies(in []*unstructured.Unstructured) []*unstructured.Unstructured {
	out := make([]*unstructured.Unstructured, len(in))
	for i, object := range in {
		out[i] = object.DeepCopy()
	}
	return out
}
