// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"github.com/meshwright/meshwright/controllers/row"
	"github.com/meshwright/meshwright/internal/intake"
	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/projection"
)

func workloadGroup(scope projection.Scope) row.Kind {
	return row.Project(projection.KindWorkloadGroup, resource("workloadgroups"), scope.WorkloadGroup,
		func(b *intake.Batch, k ir.ConfigKey, r *ir.WorkloadGroup) { b.WorkloadGroups[k] = r })
}
