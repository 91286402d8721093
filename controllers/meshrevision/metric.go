// SPDX-License-Identifier: Apache-2.0

package meshrevision

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	v1alpha1 "github.com/meshwright/meshwright/api/operator/v1alpha1"
)

// The metrics of the operator. Label values come from closed sets: phases, kinds of the charts, checks, outcomes, and the
// revisions that are installed.
var (
	meshInfo = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "meshwright_operator_mesh_info", Help: "Installed revisions, with the value 1.",
	}, []string{"revision", "version", "ready"})
	objectsOwned = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "meshwright_operator_objects", Help: "Objects in the inventory of a revision.",
	}, []string{"revision"})
	phaseSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "meshwright_operator_phase_duration_seconds", Help: "How long one run of a phase took; waiting for pods is not part of it.",
		Buckets: []float64{0.001, 0.01, 0.1, 0.5, 1, 5, 15},
	}, []string{"phase"})
	driftCorrected = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "meshwright_operator_drift_corrected_total", Help: "Objects that were found changed or missing and put back.",
	}, []string{"kind"})
	selfCheckFailures = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "meshwright_operator_self_check_failures_total", Help: "Self-checks of what was installed that got no answer.",
	}, []string{"check"})
	removalsEnded = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "meshwright_operator_removals_total", Help: "Removals of a revision that ended: complete, or given up with something left.",
	}, []string{"outcome"})
)

// Collectors returns the metrics, to be registered once.
func Collectors() []prometheus.Collector {
	return []prometheus.Collector{meshInfo, objectsOwned, phaseSeconds, driftCorrected, selfCheckFailures, removalsEnded}
}

// measure shows a revision as it is now.
func measure(revision *v1alpha1.MeshRevision, ready bool) {
	forget(revision)
	meshInfo.WithLabelValues(revision.Name, revision.Spec.Version, strconv.FormatBool(ready)).Set(1)
	objectsOwned.WithLabelValues(revision.Name).Set(float64(len(revision.Status.Inventory)))
}

// forget takes a revision out that is gone.
func forget(revision *v1alpha1.MeshRevision) {
	own := prometheus.Labels{"revision": revision.Name}
	meshInfo.DeletePartialMatch(own)
	objectsOwned.DeletePartialMatch(own)
}

// timed measures one run of a phase.
func timed(phase string) func() {
	start := time.Now()
	return func() { phaseSeconds.WithLabelValues(phase).Observe(time.Since(start).Seconds()) }
}
