// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// cacheSize bounds what is remembered; when it is full, it starts again.
const cacheSize = 4096

// cache remembers which manifest was applied to which version of an object,
// so that an apply which would change nothing is not sent at all.
type cache struct {
	mu      sync.Mutex
	entries map[string]applied
}

type applied struct{ resourceVersion, digest string }

func (c *cache) has(object *unstructured.Unstructured, resourceVersion, digest string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return resourceVersion != "" && c.entries[key(object)] == applied{resourceVersion, digest}
}

// knows says whether the manifest was applied before, whatever became of the object since.
func (c *cache) knows(object *unstructured.Unstructured, digest string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.entries[key(object)].digest == digest
}

func (c *cache) put(object *unstructured.Unstructured, resourceVersion, digest string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil || len(c.entries) >= cacheSize {
		c.entries = make(map[string]applied)
	}
	c.entries[key(object)] = applied{resourceVersion, digest}
}

func key(object *unstructured.Unstructured) string {
	return object.GroupVersionKind().String() + "|" + object.GetNamespace() + "|" + object.GetName()
}
