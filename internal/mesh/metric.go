// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	commitDuration = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "meshwright_mesh_commit_seconds",
		Help:    "Time from draining the inbox to the changes being published to the sessions.",
		Buckets: prometheus.ExponentialBuckets(0.0001, 4, 9),
	})
	evaluations = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "meshwright_mesh_evaluations_total",
		Help: "Function calls of the engine, by table.",
	}, []string{"table"})
	panics = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "meshwright_mesh_panics_total",
		Help: "Evaluations that panicked; their rows keep the last good state.",
	})
	published = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "meshwright_mesh_published_total",
		Help: "Resources set or removed, by type.",
	}, []string{"type"})
	rejections = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "meshwright_xds_rejections_total",
		Help: "Resources that proxies refused, by type.",
	}, []string{"type"})
)

// Collectors is the metrics of this package, for the registry of the process.
func Collectors() []prometheus.Collector {
	return []prometheus.Collector{commitDuration, evaluations, panics, published, rejections}
}

func observe(out *Outcome, took time.Duration) {
	commitDuration.Observe(took.Seconds())
	for table, n := range out.Commit.Evaluated {
		evaluations.WithLabelValues(table).Add(float64(n))
	}
	panics.Add(float64(out.Commit.Panics))
	for _, p := range out.Publish.Set {
		published.WithLabelValues(shortType(p.Resource.Type)).Inc()
	}
	for _, r := range out.Publish.Delete {
		published.WithLabelValues(shortType(r.Type)).Inc()
	}
}

// shortType is the last part of a type URL.
func shortType(url string) string { return url[strings.LastIndexByte(url, '.')+1:] }
