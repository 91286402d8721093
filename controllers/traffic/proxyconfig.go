// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"github.com/meshwright/meshwright/controllers/row"
	"github.com/meshwright/meshwright/internal/intake"
	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/projection"
)

func proxyConfig(scope projection.Scope) row.Kind {
	at := resource("proxyconfigs")
	at.Version = "v1beta1" // the only version of this kind
	return row.Project(projection.KindProxyConfig, at, scope.ProxyConfig,
		func(b *intake.Batch, k ir.ConfigKey, r *ir.ProxyConfig) { b.ProxyConfigs[k] = r })
}
