// SPDX-License-Identifier: Apache-2.0

package model

import (
	"strings"

	"github.com/meshwright/meshwright/internal/graph"
	"github.com/meshwright/meshwright/internal/ir"
)

// deriveProxyDefaults puts the ProxyConfigs of each namespace into order, for the injection of proxies. No other table reads
// them.
func (m *Model) deriveProxyDefaults(g *graph.Graph) {
	byNamespace := graph.NewIndex(g, "proxyConfigs.byNamespace", m.ProxyConfigs.Table(), strings.Compare,
		func(k ir.ConfigKey, _ *ir.ProxyConfig) []string { return []string{k.Namespace} })
	m.ProxyDefaults = graph.Derive(g, "proxyDefaults", byNamespace.Keys(), strings.Compare,
		func(c *graph.Ctx, namespace string, _ struct{}, emit func(string, *ir.ProxyDefaults)) {
			var all []*ir.ProxyConfig
			for _, p := range graph.Each(c, byNamespace, namespace) {
				all = append(all, p)
			}
			out := &ir.ProxyDefaults{}
			out.Whole, out.Workloads = oldest(c, all, func(p *ir.ProxyConfig) claim {
				return claim{"ProxyConfig", p.Origin, p.Created, p.Selector}
			})
			emit(namespace, out)
		})
}

// ProxyChanges is what changed of the defaults with the last commit, by namespace; nil is a namespace without any.
func (m *Model) ProxyChanges() map[string]*ir.ProxyDefaults {
	out := map[string]*ir.ProxyDefaults{}
	for _, ch := range m.ProxyDefaults.Changes() {
		out[ch.Key] = nil
		if ch.Kind != graph.Deleted {
			out[ch.Key] = ch.New
		}
	}
	return out
}
