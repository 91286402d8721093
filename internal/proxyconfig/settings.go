// SPDX-License-Identifier: Apache-2.0

// Package proxyconfig knows what users may say about the proxies that are injected into their pods, in five places of
// which a later one is stronger, field by field: the mesh's defaultConfig, a ProxyConfig of the root namespace, one of the
// pod's namespace, one that selects the pod, and the pod's annotation proxy.istio.io/config. See
// https://istio.io/latest/docs/reference/config/networking/proxy-config/.
package proxyconfig

import (
	"maps"
	"slices"
	"time"

	"github.com/meshwright/meshwright/internal/ir"
)

// Annotation is where a pod carries its own settings, as YAML.
const Annotation = "proxy.istio.io/config"

// DNSCapture is the variable that sends the application's DNS queries through the proxy's agent.
const DNSCapture = "ISTIO_META_DNS_CAPTURE"

// Settings are what one place says; zero values say nothing.
type Settings struct {
	// Concurrency is the number of worker threads, 0 for one per CPU of the node.
	Concurrency *int32
	// Environment of the proxy's container.
	Environment map[string]string
	// ImageType is a variant of the proxy's image.
	ImageType string
	// Drain is the longest time from the end of the application to that of the proxy.
	Drain time.Duration
	// The metrics to keep besides the usual ones.
	StatsPrefixes, StatsSuffixes, StatsRegexps []string
	// Topology is what stands in front of a gateway, and Dialect how HTTP is spoken; nil says nothing.
	Topology *ir.EdgeTopology
	Dialect  *ir.Dialect
}

// Over is s laid over weaker settings.
func (s Settings) Over(weaker Settings) Settings {
	out := weaker
	if s.Concurrency != nil {
		out.Concurrency = s.Concurrency
	}
	if len(s.Environment) > 0 {
		out.Environment = maps.Clone(weaker.Environment)
		if out.Environment == nil {
			out.Environment = map[string]string{}
		}
		maps.Copy(out.Environment, s.Environment)
	}
	if s.ImageType != "" {
		out.ImageType = s.ImageType
	}
	if s.Drain != 0 {
		out.Drain = s.Drain
	}
	if len(s.StatsPrefixes)+len(s.StatsSuffixes)+len(s.StatsRegexps) > 0 {
		out.StatsPrefixes, out.StatsSuffixes, out.StatsRegexps = s.StatsPrefixes, s.StatsSuffixes, s.StatsRegexps
	}
	if s.Topology != nil {
		out.Topology = s.Topology
	}
	if s.Dialect != nil {
		out.Dialect = s.Dialect
	}
	return out
}

// CapturesDNS tells whether the application's DNS queries go through the agent.
func (s Settings) CapturesDNS() bool {
	return IsTrue(s.Environment[DNSCapture])
}

// Variables is the environment in order.
func (s Settings) Variables() []ir.Variable {
	var out []ir.Variable
	for _, name := range slices.Sorted(maps.Keys(s.Environment)) {
		out = append(out, ir.Variable{Name: name, Value: s.Environment[name]})
	}
	return out
}

// Of is what a ProxyConfig says.
func Of(p *ir.ProxyConfig) Settings {
	out := Settings{ImageType: p.ImageType}
	if p.Workers.Set {
		out.Concurrency = &p.Workers.Number
	}
	if len(p.Environment) > 0 {
		out.Environment = make(map[string]string, len(p.Environment))
		for _, v := range p.Environment {
			out.Environment[v.Name] = v.Value
		}
	}
	return out
}
