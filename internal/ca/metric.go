// SPDX-License-Identifier: Apache-2.0

package ca

import "github.com/prometheus/client_golang/prometheus"

// signed counts answers to certificate requests by gRPC code.
var signed = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "meshwright_ca_certificate_requests_total",
	Help: "Certificate requests answered, by gRPC code.",
}, []string{"code"})

// Collectors lists the package's metrics for the process to register.
func Collectors() []prometheus.Collector { return []prometheus.Collector{signed} }
