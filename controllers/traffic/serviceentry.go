// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"github.com/meshwright/meshwright/controllers/row"
	"github.com/meshwright/meshwright/internal/intake"
	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/projection"
)

func serviceEntry(scope projection.Scope) row.Kind {
	own := row.Project(projection.KindServiceEntry, resource("serviceentries"), scope.ServiceEntry,
		func(b *intake.Batch, k ir.ConfigKey, r *ir.ServiceEntry) { b.ServiceEntries[k] = r })
	return row.Remember(own, projection.AllocatedPart, projection.Allocated,
		func(b *intake.Batch, k ir.ConfigKey, r *ir.Allocated) { b.Allocated[k] = r })
}
