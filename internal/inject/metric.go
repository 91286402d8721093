// SPDX-License-Identifier: Apache-2.0

package inject

import "github.com/prometheus/client_golang/prometheus"

// reviewed counts admission reviews by outcome: a Reason, or Refused, or Error.
var reviewed = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "meshwright_inject_reviews_total",
	Help: "Pods reviewed for injection, by reason.",
}, []string{"reason"})

// passedOn counts the reviews that belong to another revision: Answered by it, or Failed and injected here.
var passedOn = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "meshwright_injection_passed_on_total",
	Help: "Reviews of pods passed on to another revision while workloads are moved, by outcome.",
}, []string{"outcome"})

// Collectors lists the package's metrics for the process to register.
func Collectors() []prometheus.Collector { return []prometheus.Collector{reviewed, passedOn} }
