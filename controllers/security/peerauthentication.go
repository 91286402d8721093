// SPDX-License-Identifier: Apache-2.0

package security

import (
	"github.com/meshwright/meshwright/controllers/row"
	"github.com/meshwright/meshwright/internal/intake"
	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/projection"
)

func peerAuthentication(scope projection.Scope) row.Kind {
	return row.Project(projection.KindPeerAuthentication, resource("peerauthentications"), scope.PeerAuthentication,
		func(b *intake.Batch, k ir.ConfigKey, r *ir.PeerAuthentication) { b.PeerAuthentications[k] = r })
}
