// SPDX-License-Identifier: Apache-2.0

package ir

// ProxyConfig says how proxies are injected into pods.
type ProxyConfig struct {
	Origin      Origin
	Created     int64
	Selector    Labels // empty: the whole namespace (in the root namespace: the mesh)
	Workers     Workers
	Environment []Variable // sorted by name
	ImageType   string     // empty: says nothing
}

// Workers is a number of worker threads, 0 for one per CPU; not Set says nothing.
type Workers struct {
	Set    bool
	Number int32
}

// Variable is an environment variable.
type Variable struct {
	Name, Value string
}

// ProxyDefaults is all ProxyConfigs of a namespace.
type ProxyDefaults struct {
	Whole     *ProxyConfig   // without a selector; the oldest wins
	Workloads []*ProxyConfig // one per selector, oldest first
}
