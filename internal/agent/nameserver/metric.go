// SPDX-License-Identifier: Apache-2.0

package nameserver

import (
	"errors"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// outcome is what became of a query; it is a closed set, used as a metric label.
type outcome string

const (
	outcomeMesh      outcome = "mesh"      // answered from the table
	outcomeForwarded outcome = "forwarded" // answered by the pod's name servers
	outcomeFailed    outcome = "failed"    // no name server answered
	outcomeRefused   outcome = "refused"   // not a question that can be answered
	outcomeOverload  outcome = "overload"  // too many at once
	outcomeDropped   outcome = "dropped"   // not a DNS query
)

// Metrics count queries. Make them once for a registry.
type Metrics struct {
	queries  *prometheus.CounterVec
	failures *prometheus.CounterVec
	upstream prometheus.Histogram
	names    prometheus.Gauge
	stream   prometheus.Gauge
}

// NewMetrics registers the metrics.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		queries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meshwright_agent_dns_queries_total",
			Help: "DNS queries of the application by transport and by what became of them.",
		}, []string{"network", "outcome"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meshwright_agent_dns_upstream_failures_total",
			Help: "Attempts to ask one of the pod's name servers that brought no answer.",
		}, []string{"reason"}),
		upstream: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "meshwright_agent_dns_upstream_seconds",
			Help:    "Time that the pod's name servers took to answer.",
			Buckets: prometheus.ExponentialBuckets(0.00025, 4, 8),
		}),
		names: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "meshwright_agent_dns_names",
			Help: "Names of the mesh that the agent answers for.",
		}),
		stream: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "meshwright_agent_dns_connected",
			Help: "1 while the control plane can tell of changed names, else 0.",
		}),
	}
	registry.MustRegister(m.queries, m.failures, m.upstream, m.names, m.stream)
	return m
}

func (m *Metrics) asked(network string, o outcome) {
	m.queries.WithLabelValues(network, string(o)).Inc()
}

func (m *Metrics) forwarded(took time.Duration) { m.upstream.Observe(took.Seconds()) }

func (m *Metrics) failed(err error) {
	reason := "network"
	var timeout net.Error
	switch {
	case errors.Is(err, errMismatch):
		reason = "mismatch"
	case errors.As(err, &timeout) && timeout.Timeout():
		reason = "timeout"
	}
	m.failures.WithLabelValues(reason).Inc()
}

// Names tells how many names the table has.
func (m *Metrics) Names(n int) { m.names.Set(float64(n)) }

// Connected tells whether there is a stream to the control plane.
func (m *Metrics) Connected(is bool) {
	if is {
		m.stream.Set(1)
	} else {
		m.stream.Set(0)
	}
}
