// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"github.com/meshwright/meshwright/controllers/row"
	"github.com/meshwright/meshwright/internal/intake"
	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/projection"
)

func workloadEntry(scope projection.Scope) row.Kind {
	own := row.Project(projection.KindWorkloadEntry, resource("workloadentries"), scope.WorkloadEntry,
		func(b *intake.Batch, k ir.ConfigKey, r *ir.Workload) { b.WorkloadEntries[k] = r })
	return row.Remember(own, projection.HealthPart, projection.WorkloadHealth,
		func(b *intake.Batch, k ir.ConfigKey, r *ir.WorkloadHealth) { b.WorkloadHealths[k] = r })
}
