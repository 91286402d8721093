// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"github.com/meshwright/meshwright/controllers/row"
	"github.com/meshwright/meshwright/internal/intake"
	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/projection"
)

func sidecar(scope projection.Scope) row.Kind {
	return row.Project(projection.KindSidecar, resource("sidecars"), scope.Sidecar,
		func(b *intake.Batch, k ir.ConfigKey, r *ir.Sidecar) { b.Sidecars[k] = r })
}
