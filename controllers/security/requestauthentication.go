// SPDX-License-Identifier: Apache-2.0

package security

import (
	"github.com/meshwright/meshwright/controllers/row"
	"github.com/meshwright/meshwright/internal/intake"
	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/projection"
)

func requestAuthentication(scope projection.Scope) row.Kind {
	return row.Project(projection.KindRequestAuthentication, resource("requestauthentications"), scope.RequestAuthentication,
		func(b *intake.Batch, k ir.ConfigKey, r *ir.RequestAuthentication) { b.RequestAuthentications[k] = r })
}
