// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/meshwright/meshwright/controllers/row"
	"github.com/meshwright/meshwright/internal/intake"
	"github.com/meshwright/meshwright/internal/ir"
	"github.com/meshwright/meshwright/internal/projection"
)

func ingress(scope projection.Scope) row.Kind {
	return row.Project(projection.KindIngress, kubernetes("ingresses"), scope.Ingress,
		func(b *intake.Batch, k ir.ConfigKey, r *ir.Ingress) { b.Ingresses[k] = r })
}

func ingressClass(scope projection.Scope) row.Kind {
	return row.Project(projection.KindIngressClass, kubernetes("ingressclasses"), scope.IngressClass,
		func(b *intake.Batch, k ir.ConfigKey, r *ir.IngressClass) { b.IngressClasses[k.Name] = r })
}

func kubernetes(name string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "networking.k8s.io", Version: "v1", Resource: name}
}
