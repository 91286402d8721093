// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Certificate counts requests for the workload's certificate and shows when the current one expires.
type Certificate struct {
	requests *prometheus.CounterVec
	expiry   prometheus.Gauge
}

// NewCertificate registers the metrics.
func NewCertificate(registry prometheus.Registerer) *Certificate {
	c := &Certificate{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meshwright_agent_certificate_requests_total",
			Help: "Requests for the workload's certificate by result.",
		}, []string{"result"}),
		expiry: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "meshwright_agent_certificate_expiry_timestamp_seconds",
			Help: "When the workload's current certificate expires, in Unix seconds; 0 before the first one.",
		}),
	}
	registry.MustRegister(c.requests, c.expiry)
	return c
}

// Requested counts one request: nil is a success.
func (c *Certificate) Requested(err error) {
	result := "success"
	if err != nil {
		result = "failure"
	}
	c.requests.WithLabelValues(result).Inc()
}

// Issued shows when the certificate in use expires.
func (c *Certificate) Issued(notAfter time.Time) {
	c.expiry.Set(float64(notAfter.Unix()))
}
